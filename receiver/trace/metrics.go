// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"cmp"
	"maps"
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

// meter is what is counted of a process here; the rest the kernel counts.
type meter struct {
	active active
	sizes  sizes
	top    *top // nil if none are wanted
}

func (t *tracer) meter(p *process) *meter {
	m := t.meters[p]
	if m == nil {
		if t.meters == nil {
			t.meters = map[*process]*meter{}
		}
		m = &meter{active: active{since: p.since}, sizes: newSizes()}
		if t.Top > 0 {
			m.top = newTop(t.Top)
		}
		t.meters[p] = m
	}
	return m
}

// measure counts a request that left the kernel.
func (t *tracer) measure(p *process, q *request, now time.Time) {
	if t.Metrics == nil {
		return
	}
	m, o := t.meter(p), byCode(q.Operation)
	if m.top != nil {
		m.top.add(q, o, now)
	}
	if !q.failed && o != nil && t.leaves(o) {
		m.sizes.observe(q, o)
	}
}

// collect makes metrics of all processes that are traced.
func (t *tracer) collect(now time.Time) pmetric.Metrics {
	all, err := t.programs.Distributions()
	if err != nil {
		t.Logger.Warn("the counts of requests cannot be read", zap.Error(err))
		return pmetric.NewMetrics() // the next ones have all
	}
	slices.SortFunc(all, func(a, b bpf.Distribution) int { return cmp.Compare(a.Operation, b.Operation) })
	metrics := pmetric.NewMetrics()
	for _, p := range t.processes {
		if !p.verified || !now.After(p.since) { // now is the time of the tick
			continue
		}
		own := slices.DeleteFunc(slices.Clone(all), func(d bpf.Distribution) bool { return int(d.PID) != p.PID })
		t.collectProcess(p, own, now).ResourceMetrics().MoveAndAppendTo(metrics.ResourceMetrics())
	}
	maps.DeleteFunc(t.meters, func(p *process, _ *meter) bool { return t.processes[p.PID] != p })
	return metrics
}

func (t *tracer) collectProcess(p *process, distributions []bpf.Distribution, now time.Time) pmetric.Metrics {
	res, m := p.resource(t.Resource), t.meter(p)
	metrics := pmetric.NewMetrics()
	if t.Builder != nil {
		t.recordDeclared(m, p, distributions, now)
		metrics = t.Builder.Emit(metadata.WithResource(res))
	}
	if metrics.ResourceMetrics().Len() == 0 { // the user switched all of them off
		rm := metrics.ResourceMetrics().AppendEmpty()
		res.CopyTo(rm.Resource())
		scope := rm.ScopeMetrics().AppendEmpty().Scope()
		scope.SetName(metadata.ScopeName)
		scope.SetVersion(t.Format.Version)
	}
	to := metrics.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics()
	m.appendHistograms(to, p, distributions, pcommon.NewTimestampFromTime(now))
	return metrics
}

// recordDeclared makes the metrics that metadata.yaml declares.
func (t *tracer) recordDeclared(m *meter, p *process, distributions []bpf.Distribution, now time.Time) {
	b := t.Builder
	at, took := pcommon.NewTimestampFromTime(now), map[uint8]time.Duration{}
	b.Reset(metadata.WithStartTime(pcommon.NewTimestampFromTime(p.since)))
	for _, d := range distributions {
		switch d.Kind {
		case bpf.KindStream:
			b.RecordEtcdStreamRequestsDataPoint(at, int64(total(d.Count[:])), nameOf(d.Operation))
		case bpf.KindRequest:
			took[d.Operation] += d.Sum
		}
	}
	for of, d := range p.failures {
		took[of.operation] += d.sum
	}
	for operation, mean := range m.active.mean(now, took) {
		b.RecordEtcdRequestActiveDataPoint(at, mean, nameOf(operation))
	}
	if m.top != nil {
		m.top.record(b, p.since, now)
	}
	t.network.recordTraffic(b, p, now)
}

// appendHistograms makes those that metadata.yaml cannot declare.
func (m *meter) appendHistograms(to pmetric.MetricSlice, p *process, distributions []bpf.Distribution, now pcommon.Timestamp) {
	start := pcommon.NewTimestampFromTime(p.since)
	requests := appendHistogram(to, "etcd.request.duration", "s", "Time from the arrival of a request to its answer, within etcd, by operation and outcome (eBPF).")
	syncs := appendHistogram(to, "etcd.disk.sync.duration", "s", "Time that a sync of a file of etcd to disk took, by what the file is (eBPF).")
	for _, d := range distributions {
		switch d.Kind {
		case bpf.KindSync:
			dp := appendDurations(syncs, &durations{d.Sum, d.Count}, start, now)
			dp.Attributes().PutStr("etcd.file.type", fileType(bpf.FileKind(d.Operation)).String())
		case bpf.KindRequest:
			appendOutcome(requests, outcome{d.Operation, codeName(codes.OK)}, &durations{d.Sum, d.Count}, start, now)
		}
	}
	for key, d := range p.failures {
		appendOutcome(requests, key, d, start, now)
	}
	m.sizes.append(to, start, now)
	appendRTT(to, p, start, now)
	to.RemoveIf(func(m pmetric.Metric) bool {
		return m.Type() == pmetric.MetricTypeHistogram && m.Histogram().DataPoints().Len() == 0
	})
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
