// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

func TestEventsTellTheStoryOfAKilledLeaderInOrder(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{Size: 3})
		old, _ := roles(t, cluster)
		r := statusRun(t, cluster.Endpoints(), "{}")
		r.complete(t, cluster.Members()...)
		require.Empty(t, r.events(), "the first collection is no change")

		killed := time.Now()
		require.NoError(t, old.Kill())
		lost := r.record(t, killed, "etcd.member.unreachable", about(old))
		assert.Equal(t, "WARN", lost.Severity)
		assert.Equal(t, "Unavailable", lost.Attrs["error.type"])
		assert.Equal(t, old.Name, lost.Attrs["etcd.member.name"])
		at := strings.TrimPrefix(old.ClientURL, "http://")
		assert.Equal(t, at, fmt.Sprint(lost.Attrs["server.address"], ":", lost.Attrs["server.port"]))
		assert.Equal(t, fmt.Sprintf("member %s does not answer at %s: Unavailable", old.Name, at), lost.Body)

		now, _ := roles(t, cluster)
		elected := r.record(t, lost.At.Add(-time.Nanosecond), "etcd.leader.changed", func(rec harness.Record) bool {
			return rec.Attrs["etcd.raft.leader.id"] == hexID(now.ID)
		})
		said, err := newClient(t, cluster).Status(testContext(t), now.ClientURL)
		require.NoError(t, err)
		assert.Equal(t, "INFO", elected.Severity)
		assert.Equal(t, now.Name, elected.Attrs["etcd.raft.leader.name"])
		assert.Equal(t, int64(said.RaftTerm), elected.Attrs["etcd.raft.term"])
		assert.Contains(t, elected.Body, fmt.Sprintf("%s leads in term %d", now.Name, said.RaftTerm))
		leaderless(t, r, old)

		assert.True(t, r.is(1, "etcd.member.health", old.Name, "unreachable"))
		assert.True(t, r.is(0, "etcd.member.role", old.Name, "leader"), "all roles are 0 while it does not answer")
		waitFor(t, "metrics that agree", func() bool {
			return r.is(1, "etcd.member.role", now.Name, "leader") && r.is(float64(said.RaftTerm), "etcd.raft.term", now.Name) &&
				r.is(0, "etcd.cluster.quorum.margin", "")
		})

		require.NoError(t, old.Restart(testContext(t)))
		back := r.record(t, elected.At, "etcd.member.reachable", about(old))
		assert.Equal(t, "INFO", back.Severity)
		silent, _ := back.Attrs["etcd.member.unreachable_duration"].(float64)
		assert.InDelta(t, back.At.Sub(lost.At).Seconds(), silent, 2)
		assert.Contains(t, back.Body, "member "+old.Name+" answers again after ")
		r.complete(t, cluster.Members()...)
		waitFor(t, "metrics that agree", func() bool {
			return r.is(1, "etcd.member.role", old.Name, "follower") && r.is(1, "etcd.cluster.quorum.margin", "")
		})
		assert.Equal(t, []string{"etcd.member.unreachable", "etcd.member.reachable"}, r.events(old.Name))
	})
}

// leaderless checks the leader changes so far: from the old leader at once to the
// new one, or by way of nobody.
func leaderless(t *testing.T, r statusReceiver, old *localcluster.Member) {
	t.Helper()
	var changes []harness.Record
	for _, rec := range r.Records() {
		if rec.Name == "etcd.leader.changed" {
			changes = append(changes, rec)
		}
	}
	require.NotEmpty(t, changes)
	first := changes[0]
	assert.Equal(t, hexID(old.ID), first.Attrs["etcd.raft.leader.prev_id"])
	assert.Equal(t, old.Name, first.Attrs["etcd.raft.leader.prev_name"])
	for i, rec := range changes[:len(changes)-1] {
		assert.NotContains(t, rec.Attrs, "etcd.raft.leader.id", "change %d", i)
		assert.Equal(t, "WARN", rec.Severity)
		assert.Contains(t, rec.Body, "no leader in term ")
		assert.NotContains(t, changes[i+1].Attrs, "etcd.raft.leader.prev_id", "nobody led before")
	}
	assert.Equal(t, "etcd.member.unreachable", r.events()[0], "the cause comes first")
}

func TestEventsTellThatAClusterLostItsQuorumAndFoundIt(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{Size: 3})
		leader, followers := roles(t, cluster)
		r := statusRun(t, cluster.Endpoints(), "{}")
		r.complete(t, cluster.Members()...)
		killed := time.Now()
		for _, m := range followers {
			require.NoError(t, m.Kill())
		}
		none := r.record(t, killed, "etcd.leader.changed", nil)
		assert.Equal(t, "WARN", none.Severity)
		waitFor(t, "one member without a leader", func() bool {
			return r.is(1, "etcd.member.health", leader.Name, "unhealthy") && r.is(0, "etcd.raft.leader.present", leader.Name) &&
				r.is(-2, "etcd.cluster.quorum.margin", "") && r.is(3, "etcd.cluster.member.count", "", "voter")
		})
		assert.NotContains(t, statusEvents(r), "StatusRecoverableError", "a member answers")

		require.NoError(t, cluster.Restart(testContext(t), followers...))
		found := r.record(t, none.At, "etcd.leader.changed", func(rec harness.Record) bool { return rec.Attrs["etcd.raft.leader.id"] != nil })
		assert.Equal(t, "INFO", found.Severity)
		assert.NotContains(t, found.Attrs, "etcd.raft.leader.prev_id")
		r.complete(t, cluster.Members()...)
		waitFor(t, "a spare member", func() bool { return r.is(1, "etcd.cluster.quorum.margin", "") })
	})
}
