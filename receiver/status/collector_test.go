// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// fakeMember plays faults that a real etcd does not show on demand: addresses that
// lead elsewhere, exact delays, refusals of single calls.
type fakeMember struct {
	pb.UnimplementedMaintenanceServer
	pb.UnimplementedClusterServer
	pb.UnimplementedKVServer

	id              uint64
	scheme, address string

	mu     sync.Mutex
	list   []*pb.Member
	leader uint64
	delay  time.Duration
	denied bool // Status
	alarm  bool
	silent bool
	asked  int
}

func startFake(t *testing.T, id uint64, options ...grpc.ServerOption) *fakeMember {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &fakeMember{id: id, leader: 1, scheme: "http", address: listener.Addr().String()}
	server := grpc.NewServer(options...)
	pb.RegisterMaintenanceServer(server, f)
	pb.RegisterClusterServer(server, f)
	pb.RegisterKVServer(server, f)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return f
}

func (f *fakeMember) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeMember) listed() *pb.Member {
	return &pb.Member{ID: f.id, Name: fmt.Sprint("n", f.id), ClientURLs: []string{f.scheme + "://" + f.address}}
}

// lists makes the members list each other.
func lists(members ...*fakeMember) {
	var list []*pb.Member
	for _, m := range members {
		list = append(list, m.listed())
	}
	for _, m := range members {
		m.set(func() { m.list = list })
	}
}

func (f *fakeMember) answer(ctx context.Context) (*pb.ResponseHeader, error) {
	f.mu.Lock()
	delay, silent := f.delay, f.silent
	f.mu.Unlock()
	if silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	select {
	case <-time.After(delay):
	case <-ctx.Done():
	}
	return &pb.ResponseHeader{ClusterId: 7, MemberId: f.id, RaftTerm: 2, Revision: 5}, nil
}

func (f *fakeMember) Status(ctx context.Context, _ *pb.StatusRequest) (*pb.StatusResponse, error) {
	header, err := f.answer(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if err == nil && f.denied {
		err = grpcstatus.Error(codes.PermissionDenied, "etcdserver: permission denied")
	}
	if err != nil {
		return nil, err
	}
	status := &pb.StatusResponse{Header: header, Version: "3.6.16", Leader: f.leader, RaftTerm: 2, RaftIndex: 10, RaftAppliedIndex: 10}
	if f.alarm {
		status.Errors = []string{fmt.Sprintf("memberID:%d alarm:NOSPACE ", f.id)}
	}
	return status, nil
}

func (f *fakeMember) MemberList(ctx context.Context, _ *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	header, err := f.answer(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	return &pb.MemberListResponse{Header: header, Members: f.list}, err
}

func (f *fakeMember) Range(ctx context.Context, _ *pb.RangeRequest) (*pb.RangeResponse, error) {
	header, err := f.answer(ctx)
	return &pb.RangeResponse{Header: header}, err
}

// emitted is what a collector let go.
type emitted struct {
	mu      sync.Mutex
	metrics []pmetric.Metrics
	events  []string
}

func (e *emitted) bodies() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.events...)
}

// names are the members of each batch of metrics, after the first skip.
func (e *emitted) names(skip int) [][]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out [][]string
	for _, metrics := range e.metrics[min(skip, len(e.metrics)):] {
		var names []string
		for _, rm := range metrics.ResourceMetrics().All() {
			if name, ok := rm.Resource().Attributes().Get("etcd.member.name"); ok {
				names = append(names, name.Str())
			}
		}
		out = append(out, names)
	}
	return out
}

func collect(t *testing.T, settings Settings, seeds ...string) *emitted {
	t.Helper()
	return collectOver(t, settings, nil, seeds...)
}

func collectOver(t *testing.T, settings Settings, tls *configtls.ClientConfig, seeds ...string) *emitted {
	t.Helper()
	var endpoints []etcdclient.Endpoint
	for _, s := range seeds {
		e, err := etcdclient.ParseEndpoint(s)
		require.NoError(t, err)
		endpoints = append(endpoints, e)
	}
	settings.Discover = true
	telemetry, err := metadata.NewTelemetryBuilder(componenttest.NewNopTelemetrySettings())
	require.NoError(t, err)
	cluster := etcdclient.NewCluster(etcdclient.Settings{Endpoints: endpoints, TLS: tls, Timeout: settings.Timeout}, true)
	out := &emitted{}
	c := &Collector{
		Settings: settings, Cluster: cluster, Resource: &resource.Builder{Attributes: metadata.DefaultResourceAttributesConfig()},
		Builder: metadata.NewMetricsBuilder(metadata.NewDefaultMetricsBuilderConfig(), receivertest.NewNopSettings(metadata.Type)),
		Format:  &logrecord.Format{Events: metadata.DefaultEventsConfig(), Body: true},
		Metrics: func(_ context.Context, m pmetric.Metrics) {
			out.mu.Lock()
			defer out.mu.Unlock()
			out.metrics = append(out.metrics, m)
		},
		Logs: func(_ context.Context, logs plog.Logs) {
			out.mu.Lock()
			defer out.mu.Unlock()
			for _, lr := range logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
				out.events = append(out.events, lr.Body().Str())
			}
		},
		Telemetry: telemetry, Report: func(error) {}, Logger: zap.NewNop(),
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		require.NoError(t, cluster.Close())
	})
	return out
}

const second = time.Second

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 20*second, 5*time.Millisecond, what)
}

func TestAMemberWhoseAddressLeadsToAnotherIsAskedOnceATick(t *testing.T) {
	for name, url := range map[string]func(real string) string{
		"the same address":  func(real string) string { return "http://" + real },
		"a load balancer's": func(real string) string { return "http://localhost:" + real[len("127.0.0.1:"):] },
	} {
		t.Run(name, func(t *testing.T) {
			n1 := startFake(t, 1)
			n1.set(func() {
				n1.list = []*pb.Member{n1.listed(), {ID: 2, Name: "n2", ClientURLs: []string{url(n1.address)}}}
			})
			out := collect(t, Settings{Interval: 50 * time.Millisecond, Timeout: 10 * second}, n1.address)
			eventually(t, "ten collections leave", func() bool { return len(out.names(0)) >= 10 })
			n1.mu.Lock()
			defer n1.mu.Unlock()
			assert.LessOrEqual(t, n1.asked, 2*(len(out.names(0))+2))
			for _, names := range out.names(0) {
				assert.Equal(t, []string{"n1"}, names, "n2 is not known, and n1 is never lost")
			}
			assert.Empty(t, out.bodies())
		})
	}
}

func TestAMemberIsTrustedWhenItsAuthorityComesIntoTheFileThoughOthersAnswer(t *testing.T) {
	start := func(id uint64) (*fakeMember, []byte) {
		files, err := localcluster.NewTLS(t.TempDir())
		require.NoError(t, err)
		server, err := credentials.NewServerTLSFromFile(files.ServerCertFile, files.ServerKeyFile)
		require.NoError(t, err)
		authority, err := os.ReadFile(files.CAFile)
		require.NoError(t, err)
		f := startFake(t, id, grpc.Creds(server))
		f.scheme = "https"
		return f, authority
	}
	n1, ca1 := start(1)
	n2, ca2 := start(2)
	lists(n1, n2)
	client := configtls.NewDefaultClientConfig()
	client.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(client.CAFile, ca1, 0o600))
	out := collectOver(t, Settings{Interval: 50 * time.Millisecond, Timeout: 10 * second}, &client, n1.address)
	told := func(snippet string) bool { return strings.Contains(strings.Join(out.bodies(), "\n"), snippet) }
	eventually(t, "it is unreachable", func() bool { return told("member n2 does not answer at " + n2.address) })
	require.NoError(t, os.WriteFile(client.CAFile, append(ca1, ca2...), 0o600))
	eventually(t, "it is back", func() bool { return told("member n2 answers again") })
	assert.False(t, told("member n1 "))
}

func TestWhatComesLateLeavesWhenItComesAndWaitsForNobody(t *testing.T) {
	n1, n2, n3 := startFake(t, 1), startFake(t, 2), startFake(t, 3)
	lists(n1, n2, n3)
	out := collect(t, Settings{Interval: 3 * second, Timeout: 20 * second}, n1.address)
	skip := 0
	eventually(t, "all are known", func() bool {
		for i, names := range out.names(0) {
			if len(names) == 3 {
				skip = i + 1
				return true
			}
		}
		return false
	})
	n2.set(func() { n2.delay = 700 * time.Millisecond })
	n3.set(func() { n3.silent = true })
	eventually(t, "n1 leaves alone, then n2, while n3 is still asked", func() bool {
		// It is one collection that shows it, not always the first: n2 may have been asked before it was set to be late.
		return strings.Contains(fmt.Sprint(out.names(skip)), "[n1] [n2]")
	})
}

func TestSilenceOfAllMembersHidesNoChangeOfLeaderAndRepeatsNoAlarm(t *testing.T) {
	n1 := startFake(t, 1)
	lists(n1)
	n1.set(func() { n1.alarm = true })
	out := collect(t, Settings{Interval: 50 * time.Millisecond, Timeout: second}, n1.address)
	told := func(snippet string) bool { return strings.Contains(strings.Join(out.bodies(), "\n"), snippet) }
	eventually(t, "the alarm is told", func() bool { return told("member n1 raised the alarm nospace") })
	n1.set(func() { n1.silent = true })
	eventually(t, "it is unreachable", func() bool { return told("member n1 does not answer at " + n1.address) })
	n1.set(func() { n1.silent, n1.leader = false, 2 })
	eventually(t, "the change is told", func() bool { return told("0000000000000002 leads in term 2, before n1") })
	assert.True(t, told("member n1 answers again after"))
	assert.Equal(t, 1, strings.Count(strings.Join(out.bodies(), "\n"), "raised the alarm"))
	assert.False(t, told("cleared the alarm"))
}

func TestAlarmsThatNobodyTellsAreNeitherClearedNorZero(t *testing.T) {
	n1 := startFake(t, 1)
	lists(n1)
	n1.set(func() { n1.alarm = true })
	out := collect(t, Settings{Interval: 50 * time.Millisecond, Timeout: 10 * second}, n1.address)
	eventually(t, "the alarm is told", func() bool { return len(out.bodies()) == 1 })
	n1.set(func() { n1.denied = true }) // and the fake has no Alarm call
	skip := len(out.names(0)) + 2
	eventually(t, "collections leave", func() bool { return len(out.names(skip)) > 3 })
	assert.Equal(t, []string{"member n1 raised the alarm nospace"}, out.bodies())
	out.mu.Lock()
	defer out.mu.Unlock()
	for _, m := range out.metrics[skip].ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().All() {
		assert.NotEqual(t, "etcd.alarm.active", m.Name())
	}
}

func TestAMemberThatOnlyDeniesStatusIsHealthyAndSaysNothingItDoesNotKnow(t *testing.T) {
	n1 := startFake(t, 1)
	lists(n1)
	n1.set(func() { n1.denied = true })
	out := collect(t, Settings{Interval: 50 * time.Millisecond, Timeout: 10 * second}, n1.address)
	eventually(t, "a collection leaves", func() bool { return len(out.names(0)) > 0 })
	out.mu.Lock()
	defer out.mu.Unlock()
	values := map[string]int64{}
	for _, rm := range out.metrics[0].ResourceMetrics().All() {
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			if m.Type() != pmetric.MetricTypeSum {
				values[m.Name()] = m.Gauge().DataPoints().At(0).IntValue()
				continue
			}
			for _, dp := range m.Sum().DataPoints().All() {
				state, _ := dp.Attributes().Get("etcd.member.state")
				values[m.Name()+state.Str()] = dp.IntValue()
			}
		}
	}
	assert.EqualValues(t, 1, values["etcd.member.healthhealthy"])
	assert.EqualValues(t, 0, values["etcd.cluster.quorum.margin"])
	assert.EqualValues(t, 2, values["etcd.raft.term"], "the header of the member list tells it")
	for _, name := range []string{"etcd.raft.leader.present", "etcd.revision.current", "etcd.db.size", "etcd.raft.lag"} {
		assert.NotContains(t, values, name)
	}
}

func TestMetricsOfAnotherMemberAreDropped(t *testing.T) {
	a := answer{
		header:  &pb.ResponseHeader{MemberId: 1},
		metrics: exposition{}, failed: map[call]error{},
	}
	a.checkMetrics()
	assert.NotNil(t, a.metrics, "without an id there is nothing to compare")
	for id, kept := range map[string]bool{"1": true, "2": false} {
		e, err := parseExposition(strings.NewReader(`etcd_server_id{server_id="` + id + "\"} 1\nprocess_open_fds 3\n"))
		require.NoError(t, err)
		a := answer{header: &pb.ResponseHeader{MemberId: 1}, metrics: e, failed: map[call]error{}}
		a.checkMetrics()
		assert.Equal(t, kept, a.metrics != nil)
		assert.Equal(t, kept, a.failed[callMetrics] == nil)
	}
}
