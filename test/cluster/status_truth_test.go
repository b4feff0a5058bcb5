// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

func TestStatusAgreesWithWhatEtcdItselfSays(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{Size: 3})
		r := statusRun(t, cluster.Endpoints(), "{}")
		r.complete(t, cluster.Members()...)
		client := newClient(t, cluster)
		_, err := client.Put(testContext(t), "k", "v")
		require.NoError(t, err)

		for _, m := range cluster.Members() {
			var said *clientv3.StatusResponse
			waitFor(t, "metrics of "+m.Name+" that agree with Status", func() bool {
				said, err = client.Status(testContext(t), m.ClientURL)
				require.NoError(t, err)
				return agrees(r, m, said) && r.is(float64(said.RaftIndex), "etcd.raft.index.committed", m.Name) &&
					r.is(float64(said.RaftAppliedIndex), "etcd.raft.index.applied", m.Name)
			})
			checkMemberResource(t, r, cluster, m, said.Version)
			_, extensive := r.last("etcd.grpc.request.duration", m.Name)
			assert.False(t, extensive, "etcd has this histogram only with --metrics=extensive")
		}
		assert.True(t, r.is(1, "etcd.cluster.version.count", ""))
		assert.True(t, r.is(3, "etcd.cluster.member.count", "", "voter"))
		assert.True(t, r.is(0, "etcd.cluster.member.count", "", "learner"))
		assert.True(t, r.is(1, "etcd.cluster.quorum.margin", ""))
		assert.Empty(t, r.events(), "nothing happened")
		r.noEmptyBatch(t)
	})
}

// agrees compares the newest metrics of a member with its answer to Status, as far
// as that stays the same while nobody writes.
func agrees(r statusReceiver, m *localcluster.Member, said *clientv3.StatusResponse) bool {
	role := "follower"
	if said.Leader == m.ID {
		role = "leader"
	}
	for metric, want := range map[string]int64{
		"etcd.db.size":             said.DbSize,
		"etcd.db.usage":            said.DbSizeInUse,
		"etcd.raft.term":           int64(said.RaftTerm),
		"etcd.raft.lag":            0,
		"etcd.revision.current":    said.Header.Revision,
		"etcd.raft.leader.present": 1,
	} {
		if !r.is(float64(want), metric, m.Name) {
			return false
		}
	}
	for _, other := range []string{"leader", "follower", "learner"} {
		want := 0.0
		if other == role {
			want = 1
		}
		if !r.is(want, "etcd.member.role", m.Name, other) {
			return false
		}
	}
	limit := said.DbSizeQuota
	if limit == 0 {
		limit = 2 << 30 // etcd's default; before 3.6 Status does not say it
	}
	return r.is(float64(limit), "etcd.db.limit", m.Name)
}

func checkMemberResource(t *testing.T, r statusReceiver, cluster *localcluster.Cluster, m *localcluster.Member, version string) {
	t.Helper()
	at, err := url.Parse(m.ClientURL)
	require.NoError(t, err)
	port, err := strconv.ParseInt(at.Port(), 10, 64)
	require.NoError(t, err)
	namespace := uuid.MustParse("4d63009a-8d0f-11ee-aad7-4c796ed8e320")
	p, ok := r.last("etcd.member.health", m.Name)
	require.True(t, ok)
	assert.Equal(t, map[string]any{
		"service.name":        "etcd",
		"service.version":     version,
		"service.instance.id": uuid.NewSHA1(namespace, []byte(hexID(cluster.ID())+"/"+hexID(m.ID))).String(),
		"etcd.cluster.id":     hexID(cluster.ID()),
		"etcd.member.id":      hexID(m.ID),
		"etcd.member.name":    m.Name,
		"server.address":      at.Hostname(),
		"server.port":         port,
	}, p.resource)
}

func TestStatusLabelsAndTheClusterNameAreOnEveryResourceOfMetricsAndLogs(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{})
		r := statusRun(t, cluster.Endpoints(), `{cluster_name: prod, labels: {team: storage, site: north}, watch: {enabled: true},
			events: {etcd.member.status: {enabled: true}}}`)
		client := newClient(t, cluster)
		waitFor(t, "a key change and a status as log records, and metrics", func() bool {
			_, err := client.Put(testContext(t), "k", "v")
			require.NoError(t, err)
			names := fmt.Sprint(r.events())
			return len(r.Metrics()) > 0 && strings.Contains(names, "etcd.kv.put") && strings.Contains(names, "etcd.member.status")
		})
		want := map[string]any{"etcd.cluster.name": "prod", "team": "storage", "site": "north", "service.name": "etcd", "etcd.cluster.id": hexID(cluster.ID())}
		for _, rec := range r.Records() {
			assert.Equal(t, want, rec.Resource, "log record %s", rec.Name)
		}
		for _, batch := range r.Metrics() {
			for _, rm := range batch.Metrics.ResourceMetrics().All() {
				for key, value := range want {
					require.Equal(t, value, rm.Resource().Attributes().AsRaw()[key], key)
				}
			}
		}
	})
}

func TestStatusOverTLSWithClientCertificates(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{Size: 3, TLS: true})
		files := cluster.TLS()
		began := time.Now()
		// One endpoint: the others are found, and asked with the same certificates.
		r := statusRun(t, cluster.Endpoints()[:1], fmt.Sprintf("tls: {ca_file: %s, cert_file: %s, key_file: %s}", files.CAFile, files.CertFile, files.KeyFile))
		r.complete(t, cluster.Members()...)
		for _, m := range cluster.Members() {
			assert.NotEmpty(t, r.since(began, "etcd.process.cpu.time", m.Name), "from /metrics")
			assert.NotEmpty(t, r.since(began, "etcd.db.commit.duration", m.Name), "from /metrics")
		}
		assert.Equal(t, 1, len(r.Log.All()), "the start line, and no complaint")
		assert.Empty(t, r.events())
	})
}

func TestStatusOverTLSWithoutItsClientCertificateNamesTheRemedy(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{TLS: true})
		r := statusRun(t, cluster.Endpoints(), fmt.Sprintf("tls: {ca_file: %s}", cluster.TLS().CAFile))
		waitFor(t, "the remedy", func() bool { return len(r.said("tls.cert_file and tls.key_file")) > 0 })
		waitFor(t, "the component status", func() bool { return r.ended("StatusRecoverableError") })
		assert.Empty(t, r.Metrics())
	})
}
