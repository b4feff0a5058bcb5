// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"time"
)

// contentFaults are writes that are hard to carry.
func contentFaults() []scenario {
	return []scenario{
		{
			name: "transactions of 1000 keys", args: []string{"--max-txn-ops=1000"}, load: LoadConfig{MaxTxnOps: 1000, Rate: 60},
			fault: func(w *world) { w.pause(2 * time.Second) }, want: noGaps,
		},
		{
			name: "values of 1 MiB", load: LoadConfig{BigEvery: 5, Rate: 60}, prepare: policy("hash"),
			fault: func(w *world) { w.pause(2 * time.Second) }, want: noGaps,
		},
		{name: "values of 1 MiB, whole", load: LoadConfig{BigEvery: 5, Rate: 60}, prepare: func(w *world) {
			w.config.Watch["value"] = map[string]any{"policy": "base64", "max_bytes": 0}
			w.rules.Policy, w.rules.MaxBytes = "base64", -1
		}, fault: func(w *world) { w.pause(2 * time.Second) }, want: noGaps},
		{
			name: "binary keys and values, as text", prepare: policy("text"),
			fault: func(w *world) { w.pause(2 * time.Second) }, want: noGaps,
		},
		{
			name: "binary keys and values, as base64", prepare: policy("base64"),
			fault: func(w *world) { w.pause(2 * time.Second) }, want: noGaps,
		},
		{name: "one delete of 10000 keys", fault: func(w *world) {
			w.many(10000)
			w.now().load.write([]Op{{Delete: true, Key: "/many/", End: "/many0"}})
		}, want: noGaps},
		{name: "a prefix without a part of it", prepare: func(w *world) {
			w.rules.Prefixes, w.rules.Exclude = []string{"/"}, []string{"/registry/", "/leased/"}
			w.config.Watch["prefixes"], w.config.Watch["exclude"] = w.rules.Prefixes, w.rules.Exclude
		}, fault: func(w *world) { w.pause(2 * time.Second) }, want: noGaps},
	}
}

func policy(name string) func(w *world) {
	return func(w *world) {
		w.config.Watch["value"] = map[string]any{"policy": name}
		w.rules.Policy = name
	}
}

// many writes that many keys below /many/, 125 a revision.
func (w *world) many(keys int) {
	const perWrite = 125
	for from := 0; from < keys; from += perWrite {
		var ops []Op
		for i := range perWrite {
			ops = append(ops, Op{Key: fmt.Sprintf("/many/%05d", from+i), Value: []byte("x")})
		}
		w.now().load.write(ops)
	}
}
