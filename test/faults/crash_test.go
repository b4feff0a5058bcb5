// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"time"

	"github.com/stretchr/testify/assert"
)

// crashFaults end the collector's process.
func crashFaults() []scenario {
	return []scenario{
		{name: "collector killed at random moments", resumes: true, load: LoadConfig{Rate: 300}, fault: func(w *world) {
			for range 5 {
				w.must(w.collector.Kill())
				w.pause(200 * time.Millisecond)
				w.must(w.collector.Start(w.context()))
				w.pause(800 * time.Millisecond)
			}
		}, want: noGaps},
		{name: "collector killed while it starts", resumes: true, fault: func(w *world) {
			for range 5 {
				w.must(w.collector.Kill())
				w.must(w.collector.Launch())
				w.pause(600 * time.Millisecond) // ready or not
			}
			w.must(w.collector.Kill())
			w.must(w.collector.Start(w.context()))
		}, want: noGaps},
		{name: "collector killed while the pipeline refuses", resumes: true, fault: func(w *world) {
			for range 3 {
				w.backend.Set(refuse)
				w.pause(600 * time.Millisecond)
				w.must(w.collector.Kill())
				w.backend.Set(accept)
				w.must(w.collector.Start(w.context()))
				w.pause(600 * time.Millisecond)
			}
		}, want: noGaps},
		{name: "collector and member killed together", resumes: true, size: 3, fault: func(w *world) {
			for _, m := range w.cluster.Members() {
				w.must(m.Kill())
				w.must(w.collector.Kill())
				w.must(w.collector.Start(w.context()))
				w.pause(500 * time.Millisecond)
				w.must(m.Restart(w.context()))
			}
		}, want: noGaps},
		{name: "collector restarted in order", resumes: true, fault: func(w *world) {
			for range 5 {
				// The answer to a request is on its way: an end that cuts it off must not send the batch again.
				marker, err := w.now().load.Put(w.context(), "/stop")
				w.must(err)
				w.arrived(marker)
				w.must(w.collector.Stop())
				w.pause(200 * time.Millisecond)
				w.must(w.collector.Start(w.context()))
				w.pause(500 * time.Millisecond)
			}
		}, want: func(w *world, v Verdict) {
			noGaps(w, v)
			assert.Zero(w.t, v.Repeats, "repeats")
		}},
		{name: "collector killed in a huge revision", resumes: true, load: LoadConfig{Rate: 20}, fault: func(w *world) {
			w.many(10000)
			end := w.now().load.write([]Op{{Delete: true, Key: "/many/", End: "/many0"}})
			w.must(w.backend.Wait(w.context(), "a part of the huge revision", func(r *Record) bool {
				at, _ := r.integer("etcd.kv.mod_revision")
				return at == end
			}))
			w.must(w.collector.Kill())
			w.must(w.collector.Start(w.context()))
		}, want: noGaps},
	}
}
