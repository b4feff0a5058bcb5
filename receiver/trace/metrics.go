// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"cmp"
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// outcome is what one series of a process is about.
type outcome struct {
	operation uint8
	code      string
}

// durations is a histogram with the buckets of bpf.Bounds.
type durations struct {
	sum   time.Duration
	count [len(bpf.Bounds) + 1]uint64
}

func (d *durations) observe(took time.Duration) {
	i, _ := slices.BinarySearch(bpf.Bounds[:], took)
	d.count[i]++
	d.sum += took
}

// failed counts a request that failed. Those that succeeded are counted in the
// kernel, where also those are seen that do not leave.
func (p *process) failed(q *request, t *tracer) {
	code := ""
	if q.known {
		code = codeName(codes.Code(q.code))
	}
	key := outcome{q.Operation, code}
	d := p.failures[key]
	if d == nil {
		if p.failures == nil {
			p.failures = map[outcome]*durations{}
		}
		d = &durations{}
		p.failures[key] = d
	}
	_, took := t.times(p, q)
	d.observe(took)
}

// collect makes metrics of all processes that are traced.
func (t *tracer) collect(now time.Time) pmetric.Metrics {
	all, err := t.programs.Distributions()
	if err != nil {
		t.Logger.Warn("the counts of requests cannot be read", zap.Error(err))
	}
	metrics := pmetric.NewMetrics()
	for _, p := range t.processes {
		if !p.verified {
			continue
		}
		rm := metrics.ResourceMetrics().AppendEmpty()
		p.resource(t.Resource).CopyTo(rm.Resource())
		sm := rm.ScopeMetrics().AppendEmpty()
		sm.Scope().SetName(metadata.ScopeName)
		sm.Scope().SetVersion(t.Format.Version)
		p.collect(sm.Metrics(), all, pcommon.NewTimestampFromTime(now))
	}
	return metrics
}

func (p *process) collect(to pmetric.MetricSlice, all []bpf.Distribution, now pcommon.Timestamp) {
	start := pcommon.NewTimestampFromTime(p.since)
	h := appendHistogram(to, "etcd.request.duration", "Time from the arrival of a request to its answer, within etcd, by operation and outcome (eBPF).")
	syncs := appendHistogram(to, "etcd.disk.sync.duration", "Time that a sync of a file of etcd to disk took, by what the file is (eBPF).")

	s := to.AppendEmpty()
	s.SetName("etcd.stream.requests")
	s.SetDescription("Requests on streams: watches that were opened, leases that were kept alive, snapshots (eBPF).")
	s.SetUnit("{request}")
	sum := s.SetEmptySum()
	sum.SetIsMonotonic(true)
	sum.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)

	slices.SortFunc(all, func(a, b bpf.Distribution) int { return cmp.Compare(a.Operation, b.Operation) })
	for _, d := range all {
		switch {
		case int(d.PID) != p.PID:
		case d.Kind == bpf.KindStream:
			dp := sum.DataPoints().AppendEmpty()
			dp.SetStartTimestamp(start)
			dp.SetTimestamp(now)
			dp.SetIntValue(int64(total(d.Count[:])))
			dp.Attributes().PutStr("db.operation.name", nameOf(d.Operation))
		case d.Kind == bpf.KindSync:
			dp := appendDurations(syncs.DataPoints(), &durations{d.Sum, d.Count}, start, now)
			dp.Attributes().PutStr("etcd.file.type", fileType(bpf.FileKind(d.Operation)).String())
		default:
			appendPoint(h.DataPoints(), outcome{d.Operation, codeName(codes.OK)}, &durations{d.Sum, d.Count}, start, now)
		}
	}
	for key, d := range p.failures {
		appendPoint(h.DataPoints(), key, d, start, now)
	}
	to.RemoveIf(func(m pmetric.Metric) bool {
		return m.Type() == pmetric.MetricTypeSum && m.Sum().DataPoints().Len() == 0 ||
			m.Type() == pmetric.MetricTypeHistogram && m.Histogram().DataPoints().Len() == 0
	})
}

func appendHistogram(to pmetric.MetricSlice, name, description string) pmetric.Histogram {
	m := to.AppendEmpty()
	m.SetName(name)
	m.SetDescription(description)
	m.SetUnit("s")
	h := m.SetEmptyHistogram()
	h.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	return h
}

func appendDurations(to pmetric.HistogramDataPointSlice, d *durations, start, now pcommon.Timestamp) pmetric.HistogramDataPoint {
	dp := to.AppendEmpty()
	dp.SetStartTimestamp(start)
	dp.SetTimestamp(now)
	dp.SetCount(total(d.count[:]))
	dp.SetSum(d.sum.Seconds())
	dp.ExplicitBounds().FromRaw(boundsSeconds)
	dp.BucketCounts().FromRaw(d.count[:])
	return dp
}

func appendPoint(to pmetric.HistogramDataPointSlice, key outcome, d *durations, start, now pcommon.Timestamp) {
	dp := appendDurations(to, d, start, now)
	dp.Attributes().PutStr("db.operation.name", nameOf(key.operation))
	if key.code != "" {
		dp.Attributes().PutStr("rpc.response.status_code", key.code)
	}
	if key.code != codeName(codes.OK) {
		dp.Attributes().PutStr("error.type", cmp.Or(key.code, "_OTHER"))
	}
}

var boundsSeconds = func() []float64 {
	var s []float64
	for _, b := range bpf.Bounds {
		s = append(s, b.Seconds())
	}
	return s
}()

func total(counts []uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

func nameOf(code uint8) string {
	if o := byCode(code); o != nil {
		return o.name
	}
	return "other"
}

// resource is the member's, as the self-check has found it.
func (p *process) resource(b *resource.Builder) pcommon.Resource {
	return b.Member(p.cluster, resource.Member{ID: p.member, Name: p.Name, Version: p.executable.build.EtcdVersion})
}
