// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"time"

	"github.com/stretchr/testify/assert"
)

// compactionFaults take away what the collector has not read yet.
func compactionFaults() []scenario {
	var all []scenario
	for _, mode := range []string{"skip", "resync", "snapshot"} {
		all = append(all, scenario{name: "compacted far beyond the position, then " + mode, resumes: true, prepare: func(w *world) {
			w.config.Watch["on_compaction"] = mode
		}, fault: func(w *world) {
			w.must(w.collector.Kill())
			w.pause(2 * time.Second)
			w.compact()
			w.pause(500 * time.Millisecond)
			w.must(w.collector.Start(w.context()))
			w.pause(time.Second)
		}, want: func(w *world, v Verdict) {
			assert.Equal(w.t, 1, v.Gaps)
			assert.Positive(w.t, v.Missing)
			if mode == "skip" {
				assert.Zero(w.t, v.Snapshots)
			} else {
				assert.Equal(w.t, 1, v.Snapshots)
			}
		}})
	}
	return append(all, scenario{name: "compacted often, close to the position", fault: func(w *world) {
		for range 10 {
			w.arrived(w.revision())
			w.compact()
			w.pause(200 * time.Millisecond)
		}
	}, want: noGaps})
}

// compact compacts up to the present, which the independent reader has read.
func (w *world) compact() {
	h := w.now()
	revision := w.revision()
	marker, err := h.load.Put(w.context(), "/compact")
	w.must(err)
	w.must(h.reference.Wait(w.context(), marker))
	h.compacted = max(h.compacted, revision)
	_, err = h.client.Compact(w.context(), revision)
	w.must(err)
}
