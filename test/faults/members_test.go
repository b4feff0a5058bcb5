// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"time"

	"github.com/stretchr/testify/assert"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// memberFaults break members of a cluster of three.
func memberFaults() []scenario {
	return []scenario{
		{name: "members killed and restarted", size: 3, fault: func(w *world) {
			for _, m := range w.cluster.Members() { // one of them serves the watch
				w.must(m.Kill())
				w.pause(500 * time.Millisecond)
				w.must(m.Restart(w.context()))
				w.pause(500 * time.Millisecond)
			}
		}, want: noGaps},
		{name: "leader killed", size: 3, fault: func(w *world) {
			leader, err := w.cluster.Leader(w.context())
			w.must(err)
			w.must(leader.Kill())
			w.pause(3 * time.Second)
			w.must(leader.Restart(w.context()))
			w.pause(time.Second)
		}, want: noGaps},
		{name: "member frozen", size: 3, fault: func(w *world) {
			m := w.cluster.Members()[0] // first of the endpoints
			w.disturb(4*time.Second, func() { w.must(m.Pause()) }, func() { w.must(m.Resume()) })
			w.pause(time.Second)
		}, want: noGaps},
		{name: "quorum lost", size: 3, fault: func(w *world) {
			lost := w.cluster.Members()[1:]
			w.disturb(5*time.Second, func() {
				for _, m := range lost {
					w.must(m.Pause())
				}
			}, func() {
				for _, m := range lost {
					w.must(m.Resume())
				}
			})
			w.pause(2 * time.Second)
		}, want: noGaps},
		{name: "member replaced", size: 3, fault: func(w *world) {
			old := w.cluster.Members()[0]
			w.must(old.Kill())
			_, err := w.cluster.Leader(w.context()) // without one a change of members waits for ever
			w.must(err)
			w.must(w.cluster.RemoveMember(w.context(), old))
			_, err = w.cluster.AddMember(w.context(), false)
			w.must(err)
			w.pause(time.Second)
		}, want: noGaps},
		{name: "leader moved", size: 3, fault: func(w *world) {
			for range 3 {
				leader, err := w.cluster.Leader(w.context())
				w.must(err)
				for _, m := range w.cluster.Members() {
					if m != leader {
						client, err := w.cluster.Client(only(leader.ClientURL))
						w.must(err)
						_, err = client.MoveLeader(w.context(), m.ID)
						_ = client.Close()
						w.must(err)
						break
					}
				}
				w.pause(500 * time.Millisecond)
			}
		}, want: noGaps},
	}
}

// only limits a client to one member.
func only(url string) func(*clientv3.Config) {
	return func(cfg *clientv3.Config) { cfg.Endpoints = []string{url} }
}

// noGaps: a fault that takes nothing from etcd's history leaves no gap.
func noGaps(w *world, v Verdict) {
	assert.Zero(w.t, v.Gaps, "gaps")
	assert.Greater(w.t, v.Changes, 50, "too little was written to show anything")
}
