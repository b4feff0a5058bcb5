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

// nobody is an endpoint at which nobody listens.
const nobody = "http://127.0.0.1:1"

func TestStatusDiscoversMembersFromAnyOneReachable(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{Size: 3})
		one := cluster.Endpoints()[2:]

		r := statusRun(t, append([]string{nobody}, one...), "{}")
		r.complete(t, cluster.Members()...)
		assert.True(t, r.is(1, "etcd.cluster.quorum.margin", ""))
		assert.Len(t, r.said(nobody), 2, "the start line, and one that says that nobody answers")
		assert.Empty(t, r.events(), "an endpoint is no member")

		given := statusRun(t, one, "discover_members: false")
		given.complete(t, cluster.Members()[2])
		given.collections(t, 3)
		for _, batch := range given.Metrics() {
			for _, p := range statusPoints(batch) {
				require.Contains(t, []string{"", cluster.Members()[2].Name}, p.member())
			}
		}
		assert.True(t, given.is(3, "etcd.cluster.member.count", "", "voter"), "the list is known")
		assert.Empty(t, given.since(time.Time{}, "etcd.cluster.quorum.margin", ""), "how the others are is not")
	})
}

func TestStatusKeepsAskingAllMembersWhenTheOnlyConfiguredOneDies(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{Size: 3})
		_, followers := roles(t, cluster)
		dead := followers[0]
		r := statusRun(t, []string{dead.ClientURL}, "{}")
		r.complete(t, cluster.Members()...)
		killed := time.Now()
		require.NoError(t, dead.Kill())
		lost := r.record(t, killed, "etcd.member.unreachable", about(dead))
		r.collections(t, 3)
		for _, m := range cluster.Members() {
			if m != dead {
				assert.NotEmpty(t, r.since(lost.At, "etcd.db.size", m.Name))
			}
		}
		assert.NotContains(t, statusEvents(r), "StatusRecoverableError")
	})
}

func TestStatusWaitsForAClusterThatIsNotThereYet(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{})
		m := cluster.Members()[0]
		require.NoError(t, m.Kill())
		r := statusRun(t, cluster.Endpoints(), "{}")
		waitFor(t, "the component status", func() bool { return r.ended("StatusRecoverableError") })
		assert.Empty(t, r.Metrics(), "nobody knows whose they would be")
		require.NoError(t, m.Restart(testContext(t)))
		r.complete(t, m)
		assert.True(t, r.ended("StatusOK"))
		assert.Empty(t, r.events(), "the first answer is no change")
	})
}
