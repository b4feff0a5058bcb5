// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

func TestEventsOfMembership(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		t.Parallel() // etcd makes us wait five seconds before a change
		ctx := contextFor(t, 2*time.Minute)
		cluster := harness.Start(t, version, localcluster.Config{})
		r := statusRun(t, cluster.Endpoints(), "{}")
		r.complete(t, cluster.Members()...)
		client := newClient(t, cluster)

		learner, err := cluster.AddMember(ctx, true)
		require.NoError(t, err)
		added := r.record(t, time.Time{}, "etcd.member.added", about(learner))
		assert.Equal(t, "INFO", added.Severity)
		assert.Equal(t, "learner", added.Attrs["etcd.member.type"])
		assert.Contains(t, added.Body, " added as learner")
		waitFor(t, "metrics of the learner", func() bool {
			return r.is(1, "etcd.member.role", learner.Name, "learner") && r.is(1, "etcd.member.health", learner.Name, "healthy") &&
				r.is(1, "etcd.cluster.member.count", "", "learner") && r.is(1, "etcd.cluster.member.count", "", "voter")
		})
		assert.True(t, r.is(0, "etcd.cluster.quorum.margin", ""), "a learner is no spare voter")
		failed := scrapeErrors(t, r)
		r.collections(t, 5)
		assert.Equal(t, failed, scrapeErrors(t, r), "what a learner does not serve is no failure")

		waitFor(t, "the learner is in sync and promoted", func() bool {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			_, err := client.MemberPromote(ctx, learner.ID)
			return err == nil
		})
		promoted := r.record(t, added.At, "etcd.member.promoted", about(learner))
		assert.Equal(t, "INFO", promoted.Severity)
		assert.Equal(t, learner.Name, promoted.Attrs["etcd.member.name"])
		assert.Equal(t, "voter", promoted.Attrs["etcd.member.type"])
		assert.Equal(t, "member "+learner.Name+" promoted from learner to voter", promoted.Body)
		waitFor(t, "metrics of a voter", func() bool {
			return r.is(1, "etcd.member.role", learner.Name, "follower") && r.is(0, "etcd.cluster.member.count", "", "learner") &&
				r.is(2, "etcd.cluster.member.count", "", "voter")
		})

		require.NoError(t, cluster.RemoveMember(ctx, learner))
		removed := r.record(t, promoted.At, "etcd.member.removed", about(learner))
		assert.Equal(t, "INFO", removed.Severity)
		assert.Equal(t, "voter", removed.Attrs["etcd.member.type"])
		assert.Equal(t, "member "+learner.Name+" (voter) removed", removed.Body)
		waitFor(t, "one voter", func() bool { return r.is(1, "etcd.cluster.member.count", "", "voter") })
		from := time.Now()
		r.collections(t, 3)
		assert.Empty(t, r.since(from, "etcd.member.health", learner.Name), "it is not asked any more")
	})
}

// scrapeErrors gives the count of failed calls, by call and error type.
func scrapeErrors(t *testing.T, r statusReceiver) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	metric, err := r.Telemetry.GetMetric("otelcol_receiver_etcd_scrape_errors")
	if err != nil {
		return out // nothing has failed yet
	}
	sum, ok := metric.Data.(metricdata.Sum[int64])
	require.True(t, ok)
	for _, dp := range sum.DataPoints {
		call, _ := dp.Attributes.Value("call")
		kind, _ := dp.Attributes.Value("error.type")
		out[call.AsString()+" "+kind.AsString()] = dp.Value
	}
	return out
}

func TestEventsOfAMemberThatIsAddedAndNeverStarts(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		ctx := contextFor(t, 2*time.Minute)
		cluster := harness.Start(t, version, localcluster.Config{})
		r := statusRun(t, cluster.Endpoints(), "{}")
		r.complete(t, cluster.Members()...)
		client := newClient(t, cluster)
		reply, err := client.MemberAddAsLearner(ctx, []string{"http://127.0.0.1:1"})
		require.NoError(t, err)
		ghost := &localcluster.Member{ID: reply.Member.ID}

		added := r.record(t, time.Time{}, "etcd.member.added", about(ghost))
		assert.NotContains(t, added.Attrs, "etcd.member.name", "it has none before it starts")
		assert.Equal(t, "member "+hexID(ghost.ID)+" added as learner", added.Body)
		lost := r.record(t, time.Time{}, "etcd.member.unreachable", about(ghost))
		assert.Equal(t, "not_started", lost.Attrs["error.type"])
		assert.NotContains(t, lost.Attrs, "server.address")
		assert.Equal(t, "member "+hexID(ghost.ID)+" does not answer: not_started", lost.Body)
		waitFor(t, "a learner that is unreachable", func() bool {
			return r.is(1, "etcd.cluster.member.count", "", "learner") && ghostHealth(r, ghost) == "unreachable"
		})

		_, err = client.MemberRemove(ctx, ghost.ID)
		require.NoError(t, err)
		r.record(t, added.At, "etcd.member.removed", about(ghost))
		assert.Equal(t, []string{"etcd.member.added", "etcd.member.unreachable", "etcd.member.removed"}, r.events())
	})
}

// ghostHealth is the state of a member without a name, as its newest metrics say.
func ghostHealth(r statusReceiver, m *localcluster.Member) string {
	all := r.Metrics()
	for _, p := range statusPoints(all[len(all)-1]) {
		if p.metric.Name() == "etcd.member.health" && p.resource["etcd.member.id"] == hexID(m.ID) && p.value == 1 {
			state, _ := p.attrs["etcd.member.state"].(string)
			return state
		}
	}
	return ""
}
