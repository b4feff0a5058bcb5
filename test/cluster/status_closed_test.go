// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/zap/zapcore"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// noMetricsArgs take HTTP, and so /metrics, away from the client port. 3.4.23 does
// not know the flag (it came with 3.4.25): there the client port always has it.
func noMetricsArgs(t *testing.T, version string) []string {
	t.Helper()
	if version == "3.4" {
		t.Skip("etcd 3.4.23 has no --listen-client-http-urls: its client port cannot be without /metrics")
	}
	return []string{"--listen-client-http-urls=http://127.0.0.1:0"}
}

func TestStatusAMemberWithClosedMetricsLosesJustThose(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{ExtraArgs: noMetricsArgs(t, version)})
		m := cluster.Members()[0]
		began := time.Now()
		r := statusRun(t, cluster.Endpoints(), "{}")
		r.complete(t, m)
		r.collections(t, 3)
		for _, metric := range []string{"etcd.db.size", "etcd.raft.lag", "etcd.member.role", "etcd.raft.term", "etcd.revision.current", "etcd.alarm.active"} {
			assert.NotEmpty(t, r.since(began, metric, m.Name), metric)
		}
		for _, metric := range []string{"etcd.process.cpu.time", "etcd.mvcc.operations", "etcd.keyspace.count", "etcd.wal.sync.duration", "etcd.grpc.request.started"} {
			assert.Empty(t, r.since(began, metric, m.Name), metric)
		}
		// Status has the quota since 3.6; before, only /metrics has.
		assert.Equal(t, version != "3.5", len(r.since(began, "etcd.db.limit", m.Name)) > 0)
		assert.Equal(t, 1, r.saidAt(zapcore.InfoLevel, "/metrics does not answer; its metrics are left out"))
		assert.Len(t, r.Log.All(), 2, "the start line and this one")
		assert.Empty(t, r.events())
		assert.NotContains(t, statusEvents(r), "StatusRecoverableError")
	})
}

func TestStatusWarnsOnceIfMetricsAreRequiredAndClosed(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{ExtraArgs: noMetricsArgs(t, version)})
		r := statusRun(t, cluster.Endpoints(), "status: {prometheus: required}")
		r.complete(t, cluster.Members()[0])
		r.collections(t, 5)
		assert.Equal(t, 1, r.saidAt(zapcore.WarnLevel, "/metrics does not answer, and status.prometheus is required"))
		assert.Len(t, r.Log.All(), 2, "the start line and this one")
	})
}

func TestStatusReadsNoMetricsIfTheyAreDisabled(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{})
		m := cluster.Members()[0]
		began := time.Now()
		r := statusRun(t, cluster.Endpoints(), "status: {prometheus: disabled}")
		r.complete(t, m)
		assert.NotEmpty(t, r.since(began, "etcd.db.size", m.Name))
		assert.Empty(t, r.since(began, "etcd.process.cpu.time", m.Name))
		assert.Len(t, r.Log.All(), 1, "the start line")
	})
}
