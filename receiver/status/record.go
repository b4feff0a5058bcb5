// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// recorder turns a view into metrics. It belongs to one goroutine.
type recorder struct {
	builder    *metadata.MetricsBuilder
	resource   *resource.Builder
	histograms bool
	starts     startTimes
}

// member gives the metrics of one member: one resource, or none if the user
// switched all of them off.
func (r *recorder) member(v *view, m *member) pmetric.Metrics {
	ts := pcommon.NewTimestampFromTime(m.at)
	r.recordState(ts, m)
	if m.reachable() {
		r.recordFacts(ts, v, m)
		r.recordFamilies(ts, m.metrics)
	}
	res := r.resource.Member(v.clusterID, resource.Member{ID: m.id, Name: m.name, Version: m.version, Endpoint: m.endpoint})
	start := pcommon.NewTimestampFromTime(r.starts.of(m))
	metrics := r.builder.Emit(metadata.WithResource(res), metadata.WithStartTimeOverride(start))
	if r.histograms && m.metrics != nil {
		appendHistograms(scopeMetrics(metrics, res), m.metrics, start, ts)
	}
	return metrics
}

// scopeMetrics finds the place for more metrics of a resource.
func scopeMetrics(metrics pmetric.Metrics, res pcommon.Resource) pmetric.MetricSlice {
	if metrics.ResourceMetrics().Len() > 0 {
		return metrics.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics()
	}
	rm := metrics.ResourceMetrics().AppendEmpty()
	res.CopyTo(rm.Resource())
	sm := rm.ScopeMetrics().AppendEmpty()
	sm.Scope().SetName(metadata.ScopeName)
	return sm.Metrics()
}

func (r *recorder) recordState(ts pcommon.Timestamp, m *member) {
	for _, state := range metadata.MapAttributeEtcdMemberState {
		r.builder.RecordEtcdMemberHealthDataPoint(ts, one(m.state == state), state)
	}
	for _, role := range metadata.MapAttributeEtcdMemberRole {
		r.builder.RecordEtcdMemberRoleDataPoint(ts, one(m.reachable() && m.known && m.role() == role), role)
	}
}

func (r *recorder) recordFacts(ts pcommon.Timestamp, v *view, m *member) {
	mb := r.builder
	if m.term > 0 { // 0: no gRPC call was answered, and /metrics does not tell it
		mb.RecordEtcdRaftTermDataPoint(ts, int64(m.term))
	}
	if raised := v.alarms(); v.tellsAlarms() {
		for _, kind := range metadata.MapAttributeEtcdAlarmType {
			mb.RecordEtcdAlarmActiveDataPoint(ts, one(raised[alarm{m.id, kind}]), kind)
		}
	}
	if !m.known {
		return
	}
	mb.RecordEtcdRaftLeaderPresentDataPoint(ts, one(m.hasLeader))
	mb.RecordEtcdRevisionCurrentDataPoint(ts, m.revision)
	mb.RecordEtcdDbSizeDataPoint(ts, m.dbSize)
	mb.RecordEtcdDbUsageDataPoint(ts, m.dbUsage)
	if m.dbLimit > 0 {
		mb.RecordEtcdDbLimitDataPoint(ts, m.dbLimit)
	}
	mb.RecordEtcdRaftIndexCommittedDataPoint(ts, int64(m.committed))
	mb.RecordEtcdRaftIndexAppliedDataPoint(ts, int64(m.applied))
	mb.RecordEtcdRaftLagDataPoint(ts, int64(v.committed()-min(m.applied, v.committed())))
}

func (r *recorder) recordFamilies(ts pcommon.Timestamp, e exposition) {
	for family, record := range recorded {
		for _, series := range e[family].GetMetric() {
			if value, ok := seriesValue(series); ok && whole(value) {
				record(r.builder, ts, series, value)
			}
		}
	}
}

// cluster gives the metrics that belong to no single member.
func (r *recorder) cluster(v *view, ts pcommon.Timestamp) pmetric.Metrics {
	mb := r.builder
	counts := map[metadata.AttributeEtcdMemberType]int64{}
	for _, l := range v.list {
		counts[typeOf(l)]++
	}
	if v.list != nil {
		for _, kind := range metadata.MapAttributeEtcdMemberType {
			mb.RecordEtcdClusterMemberCountDataPoint(ts, counts[kind], kind)
		}
	}
	if margin, known := v.quorumMargin(); known {
		mb.RecordEtcdClusterQuorumMarginDataPoint(ts, int64(margin))
	}
	mb.RecordEtcdClusterVersionCountDataPoint(ts, int64(v.versions()))
	return mb.Emit(metadata.WithResource(r.resource.Cluster(v.clusterID)))
}

func one(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
