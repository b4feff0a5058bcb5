// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

func TestStatusCountersStartANewSeriesWhenAMemberRestarts(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		starting := time.Now()
		cluster := harness.Start(t, version, localcluster.Config{})
		started := time.Now()
		m := cluster.Members()[0]
		r := statusRun(t, cluster.Endpoints(), "{}")
		client := newClient(t, cluster)
		for range 50 {
			_, err := client.Put(testContext(t), "k", "v")
			require.NoError(t, err)
		}
		waitFor(t, "the puts", func() bool {
			p, _ := r.last("etcd.mvcc.operations", m.Name, "put")
			return p.value >= 50
		})
		before, _ := r.last("etcd.mvcc.operations", m.Name, "put")
		startedBetween(t, before, starting, started)

		require.NoError(t, m.Kill())
		killed := time.Now()
		require.NoError(t, m.Restart(testContext(t)))
		restarted := time.Now()
		back := r.record(t, killed, "etcd.member.reachable", about(m))
		r.collections(t, 2)
		after := r.since(back.At, "etcd.mvcc.operations", m.Name, "put")
		require.NotEmpty(t, after)
		for _, p := range after {
			startedBetween(t, p, killed, restarted)
			assert.Less(t, p.value, before.value, "it counts from the start of the process")
		}
		// No point of the new series before the new start, none of the old one after it.
		for _, p := range r.since(starting, "etcd.mvcc.operations", m.Name, "put") {
			assert.False(t, p.time.Before(p.start))
			if p.time.After(restarted) {
				assert.True(t, p.start.After(killed.Add(-startSlack)))
			}
		}
		histogram := r.since(back.At, "etcd.db.commit.duration", m.Name)
		require.NotEmpty(t, histogram)
		startedBetween(t, histogram[0], killed, restarted)
	})
}

// startSlack is how far the start of a process that etcd exposes can be off: it is
// computed from the boot time, which the kernel gives in whole seconds.
const startSlack = 1500 * time.Millisecond

func startedBetween(t *testing.T, p statusPoint, from, to time.Time) {
	t.Helper()
	assert.True(t, p.start.After(from.Add(-startSlack)), "%s is before %s", p.start, from)
	assert.True(t, p.start.Before(to.Add(startSlack)), "%s is after %s", p.start, to)
}
