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

const (
	hangTimeout = 6 * time.Second
	// hangPause is the longest pause between two points of a healthy member that
	// these tests bear, on a busy machine too: less than the timeout.
	hangPause = hangTimeout * 5 / 6
)

// steady checks that points of a member kept arriving since then.
func (r statusReceiver) steady(t *testing.T, since time.Time, m *localcluster.Member) {
	t.Helper()
	last := since
	for _, p := range r.since(since, "etcd.raft.index.applied", m.Name) {
		assert.Less(t, p.arrived.Sub(last), hangPause, "a pause between points of %s", m.Name)
		last = p.arrived
	}
	assert.Less(t, time.Since(last), hangPause, "no more points of %s", m.Name)
}

func TestStatusOfTheOthersArrivesInTimeWhileAMemberHangs(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{Size: 3})
		leader, followers := roles(t, cluster)
		hung := followers[0]
		r := statusRun(t, cluster.Endpoints(), "timeout: "+hangTimeout.String())
		r.complete(t, cluster.Members()...)
		waitFor(t, "a spare member", func() bool { return r.is(1, "etcd.cluster.quorum.margin", "") })

		frozen := time.Now()
		require.NoError(t, hung.Pause())
		lost := r.record(t, frozen, "etcd.member.unreachable", about(hung))
		assert.Equal(t, "DeadlineExceeded", lost.Attrs["error.type"])
		assert.Greater(t, lost.At.Sub(frozen), hangTimeout/2, "its own deadline, not that of the others")
		assert.Less(t, lost.At.Sub(frozen), 2*hangTimeout)
		assert.True(t, r.is(1, "etcd.member.health", hung.Name, "unreachable"))
		waitFor(t, "no spare member", func() bool { return r.is(0, "etcd.cluster.quorum.margin", "") })
		r.collections(t, 5)
		for _, m := range []*localcluster.Member{leader, followers[1]} {
			r.steady(t, frozen, m)
			assert.True(t, r.is(1, "etcd.member.health", m.Name, "healthy"))
		}
		assert.Empty(t, r.since(lost.At, "etcd.raft.term", hung.Name), "it tells nothing")

		require.NoError(t, hung.Resume())
		r.record(t, lost.At, "etcd.member.reachable", about(hung))
		r.complete(t, cluster.Members()...)
		waitFor(t, "a spare member again", func() bool { return r.is(1, "etcd.cluster.quorum.margin", "") })

		killed := time.Now()
		require.NoError(t, hung.Kill())
		r.record(t, killed, "etcd.member.unreachable", about(hung))
		waitFor(t, "no spare member", func() bool { return r.is(0, "etcd.cluster.quorum.margin", "") })
		r.collections(t, 10)
		for _, m := range []*localcluster.Member{leader, followers[1]} {
			r.steady(t, killed, m)
		}
		assert.NotContains(t, r.events(leader.Name, followers[1].Name), "etcd.member.unreachable")
		r.noEmptyBatch(t)
	})
}

func TestStatusLagIsComputedInOneCollection(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{Size: 3})
		leader, followers := roles(t, cluster)
		behind := followers[0]
		r := statusRun(t, cluster.Endpoints(), "{}")
		r.complete(t, cluster.Members()...)
		for _, m := range cluster.Members() {
			waitFor(t, "no lag", func() bool { return r.is(0, "etcd.raft.lag", m.Name) })
		}

		// Writes go on while the member is down: a lag against them would be a false peak.
		killed := time.Now()
		require.NoError(t, behind.Kill())
		lost := r.record(t, killed, "etcd.member.unreachable", about(behind))
		client := newClient(t, cluster)
		writes := 0
		for ; writes < 200; writes++ {
			_, err := client.Put(testContext(t), "k", "v")
			require.NoError(t, err)
		}
		r.collections(t, 3)
		assert.Empty(t, r.since(lost.At, "etcd.raft.lag", behind.Name), "nobody knows how far it is")
		for _, m := range []*localcluster.Member{leader, followers[1]} {
			waitFor(t, "no lag", func() bool { return r.is(0, "etcd.raft.lag", m.Name) })
		}

		require.NoError(t, behind.Restart(testContext(t)))
		back := r.record(t, lost.At, "etcd.member.reachable", about(behind))
		waitFor(t, "it has caught up", func() bool { return r.is(0, "etcd.raft.lag", behind.Name) })
		for _, p := range r.since(killed, "etcd.raft.lag", behind.Name) {
			assert.LessOrEqual(t, p.value, float64(writes+20), "no more than was written, since %s", back.At)
		}
		for _, batch := range r.Metrics() {
			for _, p := range statusPoints(batch) {
				if p.metric.Name() == "etcd.raft.lag" {
					require.GreaterOrEqual(t, p.value, 0.0)
				}
			}
		}
	})
}
