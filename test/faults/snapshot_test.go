// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"time"

	"github.com/stretchr/testify/assert"
)

// snapshotFaults are starts that tell more than the present.
func snapshotFaults() []scenario {
	initial := func(w *world) {
		w.rules.First = 0
		w.config.Watch["initial_snapshot"] = true
	}
	before := func(w *world) { // some history that the collector does not see begin
		w.open()
		w.write()
		w.pause(2 * time.Second)
	}
	snapshots := func(w *world, v Verdict) {
		noGaps(w, v)
		assert.Equal(w.t, 1, v.Snapshots)
	}
	return []scenario{
		{name: "initial snapshot under load", resumes: true, alone: true, prepare: initial, fault: func(w *world) {
			before(w)
			w.must(w.collector.Start(w.context()))
			w.pause(2 * time.Second)
		}, want: snapshots},
		{name: "collector killed in its initial snapshot", resumes: true, alone: true, prepare: initial, fault: func(w *world) {
			before(w)
			w.many(10000)
			w.must(w.collector.Launch())
			w.must(w.backend.Wait(w.context(), "a key of the snapshot", func(r *Record) bool { return r.text("etcd.kv.origin") != "" }))
			w.must(w.collector.Kill())
			w.must(w.collector.Start(w.context()))
			w.pause(2 * time.Second)
		}, want: snapshots},
		{name: "start at a revision", resumes: true, alone: true, prepare: func(w *world) {
			w.rules.First = 10
			w.config.Watch["start"], w.config.Watch["start_revision"] = "revision", 10
		}, fault: func(w *world) {
			before(w)
			w.must(w.collector.Start(w.context()))
			w.pause(time.Second)
			w.must(w.collector.Kill())
			w.must(w.collector.Start(w.context()))
			w.pause(time.Second)
		}, want: noGaps},
	}
}
