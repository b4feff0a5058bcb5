// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pipelineFaults keep records from being taken.
func pipelineFaults() []scenario {
	return []scenario{
		{name: "pipeline refuses", fault: func(w *world) {
			for range 2 {
				w.meets(refuse, 1500*time.Millisecond)
				w.backend.Set(accept)
				w.pause(300 * time.Millisecond)
			}
		}, want: noGaps},
		{name: "pipeline blocked", fault: func(w *world) {
			w.backend.Set(hold)
			if w.long {
				time.Sleep(time.Minute)
			} else {
				w.pause(4 * time.Second)
			}
			w.backend.Set(accept)
		}, want: noGaps},
		{name: "sink goes away and comes back", fault: func(w *world) {
			w.backend.Close()
			w.pause(2 * time.Second)
			w.must(w.backend.Open())
		}, want: noGaps},
		{name: "memory limiter refuses", resumes: true, prepare: func(w *world) {
			// Below what any collector needs: nothing passes until a run has another limit.
			w.config.Limiter = map[string]any{"check_interval": "100ms", "limit_mib": 1}
		}, fault: func(w *world) {
			require.Empty(w.t, w.backend.Records(), "the limiter does not limit")
			w.must(w.collector.Kill())
			w.config.Limiter = map[string]any{"check_interval": "100ms", "limit_mib": 400, "spike_limit_mib": 100}
			w.must(w.collector.Start(w.context()))
			w.pause(time.Second)
		}, want: noGaps},
		{name: "memory limiter acts for a while", load: LoadConfig{BigEvery: 4, Rate: 60}, prepare: func(w *world) {
			w.config.Watch["value"] = map[string]any{"policy": "text", "max_bytes": 0}
			w.rules.Policy, w.rules.MaxBytes = "text", -1
			// Above what the collector holds, below what it holds together with a second's garbage of big values: the
			// limiter refuses until it may collect the garbage.
			w.config.Limiter = map[string]any{"check_interval": "50ms", "min_gc_interval_when_soft_limited": "1s", "limit_mib": 80, "spike_limit_mib": 55}
		}, fault: func(w *world) {
			w.pause(3 * time.Second)
			w.await("a batch that the limiter refuses", func() bool { return w.collector.Log().Count("Refusing data") > 0 })
		}, want: noGaps},
		{name: "pipeline refuses some batches for good", resumes: true, prepare: mayRefuse, fault: func(w *world) {
			const poison = "/poison"
			w.backend.Poison(poison)
			for range 5 {
				w.now().load.write([]Op{{Key: poison, Value: []byte("x")}})
				w.pause(400 * time.Millisecond)
			}
		}, want: lossesAreTold},
		{name: "pipeline refuses all for good, for a while", resumes: true, prepare: mayRefuse, fault: func(w *world) {
			w.meets(reject, time.Second) // the record of the gap as well
			w.backend.Set(accept)
			w.pause(time.Second)
		}, want: lossesAreTold},
		{name: "pipeline refuses for good, then stop", resumes: true, prepare: func(w *world) {
			w.config.Receiver["on_permanent_error"] = "stop"
		}, fault: func(w *world) {
			w.meets(reject, time.Second)
			w.must(w.collector.Kill())
			w.backend.Set(accept)
			w.must(w.collector.Start(w.context()))
			w.pause(500 * time.Millisecond)
		}, want: noGaps},
	}
}

func mayRefuse(w *world) { w.rules.MayRefuse = true }

func lossesAreTold(w *world, v Verdict) {
	assert.Positive(w.t, w.backend.Refused(), "nothing was refused")
	assert.Positive(w.t, v.Gaps, "gaps")
	assert.Positive(w.t, v.Missing, "changes in gaps")
}
