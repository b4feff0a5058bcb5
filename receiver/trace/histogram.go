// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"slices"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// histogram counts numbers in the buckets between bounds.
type histogram struct {
	bounds []float64
	counts []uint64 // one more than bounds
	sum    float64
}

func newHistogram(bounds []float64) *histogram {
	return &histogram{bounds: bounds, counts: make([]uint64, len(bounds)+1)}
}

// observe counts n.
func (h *histogram) observe(n float64) {
	i, _ := slices.BinarySearch(h.bounds, n)
	h.counts[i]++
	h.sum += n
}

func appendHistogram(to pmetric.MetricSlice, name, unit, description string) pmetric.HistogramDataPointSlice {
	m := to.AppendEmpty()
	m.SetName(name)
	m.SetDescription(description)
	m.SetUnit(unit)
	h := m.SetEmptyHistogram()
	h.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	return h.DataPoints()
}

func appendPoint(to pmetric.HistogramDataPointSlice, h *histogram, start, now pcommon.Timestamp) pmetric.HistogramDataPoint {
	dp := to.AppendEmpty()
	dp.SetStartTimestamp(start)
	dp.SetTimestamp(now)
	dp.SetCount(total(h.counts))
	dp.SetSum(h.sum)
	dp.ExplicitBounds().FromRaw(h.bounds)
	dp.BucketCounts().FromRaw(h.counts)
	return dp
}

func total(counts []uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}
