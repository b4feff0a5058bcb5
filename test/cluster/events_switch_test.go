// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

func TestEventsMemberStatusIsOffByDefaultAndOnByChoice(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{Size: 3})
		off := statusRun(t, cluster.Endpoints(), "{}")
		off.complete(t, cluster.Members()...)
		off.collections(t, 3)
		assert.Empty(t, off.events())

		on := statusRun(t, cluster.Endpoints(), "events: {etcd.member.status: {enabled: true}}")
		leader, followers := roles(t, cluster)
		for _, m := range cluster.Members() {
			rec := on.record(t, time.Time{}, "etcd.member.status", func(rec harness.Record) bool {
				return about(m)(rec) && rec.Attrs["etcd.member.state"] == "healthy"
			})
			said, err := newClient(t, cluster).Status(testContext(t), m.ClientURL)
			require.NoError(t, err)
			role := "follower"
			if m == leader {
				role = "leader"
			}
			assert.Equal(t, "INFO", rec.Severity)
			assert.Equal(t, m.Name, rec.Attrs["etcd.member.name"])
			assert.Equal(t, role, rec.Attrs["etcd.member.role"])
			assert.Equal(t, said.Version, rec.Attrs["etcd.member.version"])
			assert.Equal(t, hexID(leader.ID), rec.Attrs["etcd.raft.leader.id"])
			assert.Equal(t, int64(said.RaftTerm), rec.Attrs["etcd.raft.term"])
			assert.Positive(t, rec.Attrs["etcd.db.size"])
			assert.Positive(t, rec.Attrs["etcd.db.usage"])
			assert.LessOrEqual(t, rec.Attrs["etcd.raft.index.applied"], int64(said.RaftAppliedIndex))
			assert.LessOrEqual(t, rec.Attrs["etcd.raft.index.committed"], int64(said.RaftIndex))
			assert.Contains(t, rec.Body, fmt.Sprintf("member %s healthy, %s, term %d, applied ", m.Name, role, said.RaftTerm))
		}

		killed := time.Now()
		require.NoError(t, followers[0].Kill())
		rec := on.record(t, killed, "etcd.member.status", func(rec harness.Record) bool {
			return about(followers[0])(rec) && rec.Attrs["etcd.member.state"] == "unreachable"
		})
		assert.Equal(t, "member "+followers[0].Name+" unreachable", rec.Body)
		assert.NotContains(t, rec.Attrs, "etcd.member.role")
	})
}

func TestEventsThatAreSwitchedOffDoNotArrive(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{Size: 3})
		r := statusRun(t, cluster.Endpoints(), "{body: none, events: {etcd.member.unreachable: {enabled: false}}}")
		r.complete(t, cluster.Members()...)
		_, followers := roles(t, cluster)
		require.NoError(t, followers[0].Kill())
		waitFor(t, "the member is gone", func() bool { return r.is(1, "etcd.member.health", followers[0].Name, "unreachable") })
		require.NoError(t, followers[0].Restart(testContext(t)))
		waitFor(t, "the event of its return", func() bool { return len(r.events()) > 0 })
		assert.Equal(t, []string{"etcd.member.reachable"}, r.events())
		assert.Empty(t, r.Records()[0].Body, "body: none")
	})
}
