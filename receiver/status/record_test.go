// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"bytes"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.yaml.in/yaml/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
	"github.com/etcdreceiver/etcdreceiver/internal/golden"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// The cluster whose /metrics is recorded in testdata.
const (
	clusterID = 9237148965513845158
	idN1      = 2893370380463916468 // it leads
	idN2      = 10111829320146134027
	idN3      = 11184681919614187356
)

var recordedAt = time.Unix(1780000000, 0)

func newRecorder(t testing.TB) *recorder {
	t.Helper()
	return &recorder{
		builder:    metadata.NewMetricsBuilder(metadata.NewDefaultMetricsBuilderConfig(), receivertest.NewNopSettings(metadata.Type), metadata.WithStartTime(pcommon.NewTimestampFromTime(recordedAt))),
		resource:   &resource.Builder{Attributes: metadata.DefaultResourceAttributesConfig(), ClusterName: "prod", Labels: map[string]string{"environment": "prod"}},
		histograms: true,
		starts:     startTimes{},
	}
}

func recordedList() []*pb.Member {
	return []*pb.Member{
		{ID: idN1, Name: "n1", ClientURLs: []string{"http://127.0.0.1:30276"}},
		{ID: idN2, Name: "n2", ClientURLs: []string{"http://127.0.0.1:23773"}, IsLearner: true},
		{ID: idN3, Name: "n3", ClientURLs: []string{"http://127.0.0.1:27328"}},
	}
}

// recordedAnswer is what the leader said.
func recordedAnswer(e exposition) *answer {
	header := &pb.ResponseHeader{ClusterId: clusterID, MemberId: idN1, Revision: 361, RaftTerm: 2}
	return &answer{
		endpoint: etcdclient.Endpoint{Scheme: "http", Host: "127.0.0.1", Port: 30276},
		at:       recordedAt, header: header, members: recordedList(), metrics: e, reads: true,
		status: &pb.StatusResponse{
			Header: header, Version: "3.6.16", DbSize: 53248, DbSizeInUse: 40960, DbSizeQuota: 2 << 30,
			Leader: idN1, RaftIndex: 369, RaftTerm: 2, RaftAppliedIndex: 366,
		},
		alarms: []*pb.AlarmMember{{MemberID: idN1, Alarm: pb.AlarmType_NOSPACE}},
		failed: map[call]error{},
	}
}

func goldenView(e exposition) *view {
	v := &view{clusterID: clusterID, list: recordedList(), members: map[uint64]*member{}}
	n1 := &member{id: idN1}
	n1.update(recordedAnswer(e))
	v.members[idN1] = n1
	v.members[idN3] = &member{id: idN3, name: "n3", at: recordedAt, state: metadata.AttributeEtcdMemberStateUnreachable}
	return v
}

func TestMetricsLookLikeTheirGoldenFiles(t *testing.T) {
	e, err := parseExposition(bytes.NewReader(recordedMetrics(t)))
	require.NoError(t, err)
	v := goldenView(e)
	r := newRecorder(t)
	golden.Metrics(t, "metrics/member", sortPoints(r.member(v, v.members[idN1])))
	golden.Metrics(t, "metrics/member_unreachable", sortPoints(r.member(v, v.members[idN3])))
	golden.Metrics(t, "metrics/cluster", sortPoints(r.cluster(v, pcommon.NewTimestampFromTime(recordedAt))))
}

// sortPoints brings the points of a metric, which come from maps, into one order.
func sortPoints(metrics pmetric.Metrics) pmetric.Metrics {
	for _, rm := range metrics.ResourceMetrics().All() {
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			if m.Type() == pmetric.MetricTypeSum {
				m.Sum().DataPoints().Sort(func(a, b pmetric.NumberDataPoint) bool { return key(a.Attributes()) < key(b.Attributes()) })
			}
		}
	}
	return metrics
}

func key(attrs pcommon.Map) string {
	var out string
	for k, v := range attrs.All() {
		out += k + "=" + v.AsString() + ";"
	}
	return out
}

func TestEveryMetricOfMetadataYAMLIsInAGoldenFile(t *testing.T) {
	raw, err := os.ReadFile("../../metadata.yaml")
	require.NoError(t, err)
	var declared struct {
		Metrics map[string]struct{ Unit, Description string }
	}
	require.NoError(t, yaml.Unmarshal(raw, &declared))
	got := map[string]string{}
	for _, name := range []string{"member", "member_unreachable", "cluster"} {
		raw, err := os.ReadFile(golden.Path("golden/metrics/" + name + ".json"))
		require.NoError(t, err)
		metrics, err := (&pmetric.JSONUnmarshaler{}).UnmarshalMetrics(raw)
		require.NoError(t, err)
		for _, m := range metrics.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().All() {
			got[m.Name()] = m.Unit()
		}
	}
	for name, metric := range declared.Metrics {
		if strings.HasSuffix(metric.Description, "(eBPF).") || strings.HasSuffix(metric.Description, "(watch).") {
			continue // of other roads: test/trace has them
		}
		assert.Equal(t, metric.Unit, got[name], "unit of %s", name)
		delete(got, name)
	}
	for _, h := range histograms {
		assert.Equal(t, "s", got[h.name], "unit of %s", h.name)
		delete(got, h.name)
	}
	assert.Empty(t, slices.Collect(maps.Keys(got)), "emitted but not declared")
}

func TestWithoutMetricsEndpointAMemberLosesJustThose(t *testing.T) {
	v := goldenView(nil)
	names := map[string]bool{}
	for _, m := range newRecorder(t).member(v, v.members[idN1]).ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().All() {
		names[m.Name()] = true
	}
	for _, name := range []string{"etcd.member.health", "etcd.db.size", "etcd.db.limit", "etcd.raft.lag", "etcd.revision.current", "etcd.alarm.active"} {
		assert.True(t, names[name], name)
	}
	assert.False(t, names["etcd.wal.sync.duration"])
	assert.False(t, names["etcd.process.memory.usage"])
}

func TestWhereStatusIsDeniedMetricsStandIn(t *testing.T) {
	e, err := parseExposition(bytes.NewReader(recordedMetrics(t)))
	require.NoError(t, err)
	a := recordedAnswer(e)
	a.status = nil
	a.header = &pb.ResponseHeader{ClusterId: clusterID, MemberId: idN1, RaftTerm: 2}
	m := &member{id: idN1}
	m.update(a)
	assert.Equal(t, "3.6.16", m.version)
	assert.True(t, m.leads)
	assert.EqualValues(t, idN1, m.leader)
	assert.EqualValues(t, 2, m.term)
	assert.EqualValues(t, 361, m.revision)
	assert.EqualValues(t, 53248, m.dbSize)
	assert.EqualValues(t, 2<<30, m.dbLimit)
	assert.NotZero(t, m.committed)
	assert.NotZero(t, m.applied)
	assert.Equal(t, metadata.AttributeEtcdMemberStateHealthy, m.state)
}

func TestSwitchedOffMetricsLeaveHistogramsAlone(t *testing.T) {
	e, err := parseExposition(bytes.NewReader(recordedMetrics(t)))
	require.NoError(t, err)
	v := goldenView(e)
	r := newRecorder(t)
	r.builder = metadata.NewMetricsBuilder(metadata.MetricsBuilderConfig{}, receivertest.NewNopSettings(metadata.Type))
	metrics := r.member(v, v.members[idN1])
	require.Equal(t, 1, metrics.ResourceMetrics().Len())
	assert.Equal(t, "etcd.db.commit.duration", metrics.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Name())
	r.histograms = false
	assert.Zero(t, r.member(v, v.members[idN1]).ResourceMetrics().Len())
}

func TestCountersOfARestartedMemberStartAnewSeries(t *testing.T) {
	exposed := func(start, received string) exposition {
		text := "etcd_network_client_grpc_received_bytes_total " + received + "\n"
		if start != "" {
			text += "process_start_time_seconds " + start + "\n"
		}
		e, err := parseExposition(bytes.NewReader([]byte(text)))
		require.NoError(t, err)
		return e
	}
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0) }
	t.Run("the process tells its start", func(t *testing.T) {
		s := startTimes{}
		assert.Equal(t, at(100), s.of(&member{id: 1, at: at(200), metrics: exposed("100", "50")}))
		assert.Equal(t, at(300), s.of(&member{id: 1, at: at(310), metrics: exposed("300", "70")}))
		assert.Equal(t, at(300), s.of(&member{id: 1, at: at(320)}), "kept while /metrics does not answer")
	})
	t.Run("a counter that went back tells", func(t *testing.T) {
		s := startTimes{}
		assert.Equal(t, at(200), s.of(&member{id: 1, at: at(200), metrics: exposed("", "50")}))
		assert.Equal(t, at(200), s.of(&member{id: 1, at: at(210), metrics: exposed("", "60")}))
		assert.Equal(t, at(210), s.of(&member{id: 1, at: at(220), metrics: exposed("", "5")}))
		assert.Equal(t, at(210), s.of(&member{id: 1, at: at(230), metrics: exposed("", "6")}))
	})
}
