// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"math"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// histogram is a latency histogram of /metrics, with etcd's own buckets. These
// are written by hand because mdatagen v0.159 makes Go that does not compile for
// a histogram under metrics.
type histogram struct {
	name, description string
	// attributes of a series; nil if there is one series.
	attributes func(*dto.Metric, pcommon.Map)
}

var histograms = map[string]histogram{
	"etcd_disk_backend_commit_duration_seconds": {
		name: "etcd.db.commit.duration", description: "Time of a commit of the database to disk (from /metrics).",
	},
	"etcd_disk_wal_fsync_duration_seconds": {
		name: "etcd.wal.sync.duration", description: "Time of a sync of the write-ahead log to disk (from /metrics).",
	},
	"etcd_network_peer_round_trip_time_seconds": {
		name: "etcd.network.peer.rtt", description: "Round trip time to another member (from /metrics).",
		attributes: func(m *dto.Metric, attrs pcommon.Map) { attrs.PutStr("etcd.peer.id", peerID(label(m, "To"))) },
	},
	"grpc_server_handling_seconds": {
		name: "etcd.grpc.request.duration", description: "Time of a request by method (from /metrics, if the member runs with --metrics=extensive).",
		attributes: func(m *dto.Metric, attrs pcommon.Map) { attrs.PutStr("rpc.method", method(m)) },
	},
}

// appendHistograms appends the histograms of e, in the order of their names.
func appendHistograms(to pmetric.MetricSlice, e exposition, start, ts pcommon.Timestamp) {
	for _, family := range histogramOrder {
		f := e[family]
		if f == nil {
			continue
		}
		h := histograms[family]
		metric := pmetric.NewMetric()
		metric.SetName(h.name)
		metric.SetDescription(h.description)
		metric.SetUnit("s")
		data := metric.SetEmptyHistogram()
		data.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		for _, m := range f.Metric {
			h.append(data.DataPoints(), m, start, ts)
		}
		if data.DataPoints().Len() > 0 {
			metric.MoveTo(to.AppendEmpty())
		}
	}
}

var histogramOrder = func() []string {
	order := make([]string, 0, len(histograms))
	for family := range histograms {
		order = append(order, family)
	}
	slices.SortFunc(order, func(a, b string) int { return strings.Compare(histograms[a].name, histograms[b].name) })
	return order
}()

// append adds one series. One that never counted, or whose buckets are not the
// cumulative counts they have to be, is left out.
func (h *histogram) append(to pmetric.HistogramDataPointSlice, m *dto.Metric, start, ts pcommon.Timestamp) {
	bounds, counts, ok := buckets(m.Histogram)
	if !ok || m.Histogram.GetSampleCount() == 0 {
		return
	}
	dp := to.AppendEmpty()
	dp.SetStartTimestamp(start)
	dp.SetTimestamp(ts)
	dp.SetCount(m.Histogram.GetSampleCount())
	dp.SetSum(m.Histogram.GetSampleSum())
	dp.ExplicitBounds().FromRaw(bounds)
	dp.BucketCounts().FromRaw(counts)
	if h.attributes != nil {
		h.attributes(m, dp.Attributes())
	}
}

// buckets turns cumulative buckets with upper bounds into bounds and the count
// between them, of which there is one more.
func buckets(h *dto.Histogram) (bounds []float64, counts []uint64, ok bool) {
	if h == nil {
		return nil, nil, false
	}
	var below uint64
	for _, b := range h.Bucket {
		if math.IsInf(b.GetUpperBound(), 1) {
			continue // the sample count says it too
		}
		if b.GetCumulativeCount() < below || len(bounds) > 0 && b.GetUpperBound() <= bounds[len(bounds)-1] {
			return nil, nil, false
		}
		bounds = append(bounds, b.GetUpperBound())
		counts = append(counts, b.GetCumulativeCount()-below)
		below = b.GetCumulativeCount()
	}
	if h.GetSampleCount() < below {
		return nil, nil, false
	}
	return bounds, append(counts, h.GetSampleCount()-below), true
}
