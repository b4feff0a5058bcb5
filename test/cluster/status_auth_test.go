// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap/zapcore"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// enableAuth makes the user otel (password otel), who may read all keys and no
// more, and switches auth on.
func enableAuth(t *testing.T, cluster *localcluster.Cluster) {
	t.Helper()
	addUser(t, newClient(t, cluster), "otel", "otel", "")
	require.NoError(t, cluster.EnableAuth(testContext(t), "root"))
}

func TestStatusWithAuthOnAndAReadOnlyUser(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{Size: 3})
		enableAuth(t, cluster)
		began := time.Now()
		r := statusRun(t, cluster.Endpoints()[:1], "{username: otel, password: otel}")
		r.complete(t, cluster.Members()...)
		for _, m := range cluster.Members() {
			for _, metric := range []string{"etcd.db.size", "etcd.db.limit", "etcd.raft.lag", "etcd.revision.current", "etcd.process.cpu.time"} {
				assert.NotEmpty(t, r.since(began, metric, m.Name), "%s of %s", metric, m.Name)
			}
		}
		assert.True(t, r.is(1, "etcd.cluster.quorum.margin", ""))
		assert.Len(t, r.Log.All(), 1, "the start line, and no complaint")
		assert.NotContains(t, statusEvents(r), "StatusRecoverableError")
	})
}

func statusEvents(r statusReceiver) []string {
	var out []string
	for _, s := range r.Status() {
		out = append(out, s.Status().String())
	}
	return out
}

func TestStatusWithAWrongPasswordNamesTheRemedy(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{})
		enableAuth(t, cluster)
		r := statusRun(t, cluster.Endpoints(), "{username: otel, password: wrong}")
		waitFor(t, "the remedy", func() bool { return r.saidAt(zapcore.WarnLevel, `check username "otel" and password`) > 0 })
		waitFor(t, "the component status", func() bool { return r.ended("StatusRecoverableError") })
		assert.Empty(t, r.said("wrong"), "a password is never logged")
		assert.Empty(t, r.Metrics(), "nothing says which member of which cluster this is")
	})
}

// anonymous are the versions that answer Status and MemberList to nobody in
// particular while auth is on.
var anonymous = map[string]bool{"3.4": true}

func TestStatusWithAuthOnAndNoUserNamesTheRemedy(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{})
		enableAuth(t, cluster)
		r := statusRun(t, cluster.Endpoints(), "{}")
		m := cluster.Members()[0]
		if anonymous[version] {
			r.complete(t, m)
			assert.True(t, r.is(1, "etcd.member.role", m.Name, "leader"))
			assert.NotContains(t, statusEvents(r), "StatusRecoverableError")
			return
		}
		// Nothing says which member of which cluster this is, so there is nothing to tell.
		waitFor(t, "the remedy", func() bool { return r.saidAt(zapcore.WarnLevel, "set username and password") > 0 })
		waitFor(t, "the component status", func() bool { return r.ended("StatusRecoverableError") })
		assert.Contains(t, r.Status()[len(r.Status())-1].Err().Error(), "set username and password")
		assert.Empty(t, r.Metrics())
		assert.Equal(t, 1, r.saidAt(zapcore.WarnLevel, "set username and password; until then it does not even tell which member it is"), "once, not at each collection")
	})
}

func TestStatusKeepsWhatMetricsTellWhenAuthIsSwitchedOnWhileItRuns(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		if anonymous[version] {
			t.Skip("etcd 3.4.23 answers Status to everybody: see TestStatusWithAuthOnAndNoUserNamesTheRemedy")
		}
		cluster := harness.Start(t, version, localcluster.Config{})
		m := cluster.Members()[0]
		r := statusRun(t, cluster.Endpoints(), "{}")
		r.complete(t, m)
		enableAuth(t, cluster)
		waitFor(t, "the remedy", func() bool { return r.saidAt(zapcore.WarnLevel, "set username and password") > 0 })
		from := time.Now()
		r.collections(t, 3)
		for _, metric := range []string{"etcd.db.size", "etcd.revision.current", "etcd.process.cpu.time", "etcd.raft.index.applied"} {
			points := r.since(from, metric, m.Name)
			if assert.NotEmpty(t, points, metric) {
				assert.Positive(t, points[0].value, metric)
			}
		}
		assert.Empty(t, r.since(from, "etcd.raft.term", m.Name), "nothing tells it")
		assert.True(t, r.is(1, "etcd.member.health", m.Name, "healthy"), "it answers, and has a leader")
		assert.NotContains(t, r.events(), "etcd.member.unreachable")
		assert.NotContains(t, r.events(), "etcd.leader.changed")
	})
}

// denyStatus stands before a real member and refuses Status, as etcd 3.4.45 and
// 3.6.0 to 3.6.8 do for a user without the role root.
func denyStatus(t *testing.T, m *localcluster.Member) (endpoint string) {
	t.Helper()
	to, err := url.Parse(m.ClientURL)
	require.NoError(t, err)
	plain := new(http.Transport)
	both := new(http.Protocols)
	both.SetUnencryptedHTTP2(true)
	grpc := &http.Transport{Protocols: both}
	pass := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to) }, FlushInterval: -1,
		Transport: roundTripper(func(request *http.Request) (*http.Response, error) {
			if request.ProtoMajor == 2 {
				return grpc.RoundTrip(request)
			}
			return plain.RoundTrip(request)
		}),
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.URL.Path != "/etcdserverpb.Maintenance/Status" {
			pass.ServeHTTP(w, request)
			return
		}
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", "7")
		w.Header().Set("Grpc-Message", "etcdserver: permission denied")
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(func() {
		server.Close()
		plain.CloseIdleConnections()
		grpc.CloseIdleConnections()
	})
	return server.URL
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestStatusThatIsDeniedIsReplacedByMetrics(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{})
		enableAuth(t, cluster)
		m := cluster.Members()[0]
		began := time.Now()
		r := statusRun(t, []string{denyStatus(t, m)}, "{username: otel, password: otel}")
		r.complete(t, m)
		client := newClient(t, cluster)
		var said *clientv3.StatusResponse
		waitFor(t, "metrics that agree with Status", func() bool {
			var err error
			said, err = client.Status(testContext(t), m.ClientURL)
			require.NoError(t, err)
			return agrees(r, m, said)
		})
		// To ask for alarms is a raft proposal, so the indexes move on.
		applied, _ := r.last("etcd.raft.index.applied", m.Name)
		assert.InDelta(t, said.RaftAppliedIndex, applied.value, 20)
		r.collections(t, 3)
		least := len(r.Metrics())
		lags := len(r.since(began, "etcd.raft.lag", m.Name))
		assert.GreaterOrEqual(t, lags, least, "in every batch")
		assert.LessOrEqual(t, lags, len(r.Metrics()))
		for _, metric := range []string{"etcd.alarm.active", "etcd.db.limit", "etcd.process.cpu.time"} {
			assert.NotEmpty(t, r.since(began, metric, m.Name), metric)
		}
		p, _ := r.last("etcd.member.health", m.Name)
		assert.Equal(t, said.Version, p.resource["service.version"])
		assert.Equal(t, 1, r.saidAt(zapcore.WarnLevel,
			`etcd user "otel" may not call Status on etcd `+said.Version+` (needs the role root there); reading /metrics instead`))
		assert.Len(t, r.Log.All(), 2, "the start line and this one")
		assert.NotContains(t, statusEvents(r), "StatusRecoverableError")
		assert.Empty(t, r.events())
	})
}

func TestStatusThatIsDeniedStillTellsOfAlarms(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{ExtraArgs: []string{smallQuota}})
		m := cluster.Members()[0]
		r := statusRun(t, []string{denyStatus(t, m)}, "{}")
		r.complete(t, m)
		fill(t, cluster)
		r.record(t, time.Time{}, "etcd.alarm.raised", about(m))
		assert.True(t, r.is(1, "etcd.alarm.active", m.Name, "nospace"))
	})
}
