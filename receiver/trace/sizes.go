// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// sizes tells how large the values are that are written, and how many keys answers
// count, by operation. They are known of requests whose records leave the kernel,
// so only of operations of which all do (tracer.leaves): a distribution of the slow
// ones, or of a sample and the slow ones, would be another one than its name says.
type sizes struct{ values, counts perOperation }

type perOperation map[uint8]*histogram

func newSizes() sizes { return sizes{perOperation{}, perOperation{}} }

// Powers of four. etcd refuses requests above 1.5 MiB by default.
var (
	valueBounds = []float64{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20}
	countBounds = []float64{1, 4, 16, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10}
)

// observe takes a request that succeeded.
func (s sizes) observe(q *request, o *operation) {
	s.values.observe(q.Operation, valueBounds, q.ValueLen)
	for i := range q.inner {
		s.values.observe(q.Operation, valueBounds, q.inner[i].ValueLen)
	}
	if o.family == familyGet || o.family == familyDelete {
		s.counts.observe(q.Operation, countBounds, q.Count)
	}
}

// observe counts n, unless the request has no such number.
func (p perOperation) observe(operation uint8, bounds []float64, n int64) {
	if n < 0 {
		return
	}
	if p[operation] == nil {
		p[operation] = newHistogram(bounds)
	}
	p[operation].observe(float64(n))
}

func (p perOperation) append(to pmetric.HistogramDataPointSlice, start, now pcommon.Timestamp) {
	for operation, h := range p {
		appendPoint(to, h, start, now).Attributes().PutStr("db.operation.name", nameOf(operation))
	}
}

func (s sizes) append(to pmetric.MetricSlice, start, now pcommon.Timestamp) {
	s.values.append(appendHistogram(to, "etcd.request.value.size", "By",
		"Size of the values that were written, by operation, of the operations of which all requests leave the kernel (eBPF)."), start, now)
	s.counts.append(appendHistogram(to, "etcd.response.count", "{key}",
		"Keys that an answer counts or that were deleted, by operation, of the operations of which all requests leave the kernel (eBPF)."), start, now)
}
