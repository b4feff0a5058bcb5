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
	"google.golang.org/grpc/codes"

	"github.com/etcdreceiver/etcdreceiver/bpf"
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

func appendDurations(to pmetric.HistogramDataPointSlice, d *durations, start, now pcommon.Timestamp) pmetric.HistogramDataPoint {
	return appendPoint(to, &histogram{boundsSeconds, d.count[:], d.sum.Seconds()}, start, now)
}

func appendOutcome(to pmetric.HistogramDataPointSlice, key outcome, d *durations, start, now pcommon.Timestamp) {
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
