// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"time"

	"github.com/stretchr/testify/assert"
)

// prefixFaults break what several prefixes share: the collector's process, its checkpoint, etcd's history.
func prefixFaults() []scenario {
	several := func(w *world) {
		// A busy one, one with range deletes, and a quiet one, whose position only the heartbeat moves. Most of the other
		// writes are below none.
		w.rules.Prefixes = []string{"/app/", "/r", "/quiet/"}
		w.config.Watch["prefixes"] = w.rules.Prefixes
	}
	all := []scenario{
		{name: "several prefixes, connections cut", prepare: func(w *world) {
			several(w)
			w.interpose(nil)
		}, fault: func(w *world) {
			w.cut(5, 500*time.Millisecond, 2*len(w.rules.Prefixes))
		}, want: wholeInEach},
		{name: "several prefixes, collector killed", resumes: true, load: LoadConfig{Rate: 300}, prepare: several, fault: func(w *world) {
			for range 5 {
				w.must(w.collector.Kill())
				w.pause(200 * time.Millisecond)
				w.must(w.collector.Start(w.context()))
				w.pause(800 * time.Millisecond)
			}
		}, want: wholeInEach},
		{name: "several prefixes, collector restarted in order", resumes: true, prepare: several, fault: func(w *world) {
			for range 3 {
				w.must(w.collector.Stop())
				w.pause(200 * time.Millisecond)
				w.must(w.collector.Start(w.context()))
				w.pause(500 * time.Millisecond)
			}
		}, want: wholeInEach},
	}
	for _, mode := range []string{"skip", "resync"} {
		all = append(all, scenario{name: "several prefixes, compacted far beyond the positions, then " + mode, resumes: true, prepare: func(w *world) {
			several(w)
			w.config.Watch["on_compaction"] = mode
		}, fault: func(w *world) {
			w.must(w.collector.Kill())
			w.pause(2 * time.Second)
			w.compact()
			w.pause(500 * time.Millisecond)
			w.must(w.collector.Start(w.context()))
			w.pause(time.Second)
		}, want: func(w *world, v Verdict) {
			assert.Equal(w.t, len(w.rules.Prefixes), v.Gaps, "each stream must say what it misses")
			assert.Positive(w.t, v.Missing)
			if mode == "skip" {
				assert.Zero(w.t, v.Snapshots)
			} else {
				assert.Equal(w.t, len(w.rules.Prefixes), v.Snapshots)
			}
		}})
	}
	return all
}

// wholeInEach: there were transactions over several streams, and no gaps.
func wholeInEach(w *world, v Verdict) {
	noGaps(w, v)
	streams, of := w.rules.streams(), map[int64]map[string]bool{}
	for _, r := range w.backend.Records() {
		if s := streamOf(&r, streams); s != nil {
			revision, _ := r.integer("etcd.kv.mod_revision")
			if of[revision] == nil {
				of[revision] = map[string]bool{}
			}
			of[revision][s.prefix] = true
		}
	}
	shared := 0
	for _, prefixes := range of {
		if len(prefixes) > 1 {
			shared++
		}
	}
	assert.Greater(w.t, shared, 10, "too few transactions touched several prefixes")
}
