// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
)

// exposition is what a member's /metrics says, reduced to the families we use.
type exposition map[string]*dto.MetricFamily

const (
	// maxExposition bounds what is read from one /metrics: a busy member of 3.6 has
	// 173 KB, most of it for gRPC methods; 16 MiB is a hundred times that.
	maxExposition = 16 << 20
	// maxLine bounds one line of it; the longest of etcd is below 1 KiB.
	maxLine = 64 << 10
)

func readMetrics(ctx context.Context, conn *etcdclient.Conn) (exposition, error) {
	body, err := conn.Metrics(ctx)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return parseExposition(io.LimitReader(body, maxExposition))
}

// parseExposition reads the Prometheus text format. Lines of families that are
// not used are dropped before the parser sees them: that is nine tenths.
func parseExposition(r io.Reader) (exposition, error) {
	var kept bytes.Buffer
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	for lines.Scan() {
		if line := lines.Bytes(); used(line) {
			kept.Write(line)
			kept.WriteByte('\n')
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read /metrics: %w", err)
	}
	if kept.Len() == 0 {
		return nil, errors.New("read /metrics: it has none of etcd's metrics")
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(&kept)
	if err != nil {
		return nil, fmt.Errorf("parse /metrics: %w", err)
	}
	return families, nil
}

var (
	typeComment = []byte("# TYPE ")
	zeroCounter = []byte(" 0")
	grpcPrefix  = []byte("grpc_server_")
	totalSuffix = []byte("_total")
)

// used tells whether a line belongs to a family that is recorded. A gRPC counter
// that is 0 is not: each member has about 700 of those.
func used(line []byte) bool {
	name := bytes.TrimPrefix(line, typeComment)
	if i := bytes.IndexAny(name, "{ "); i >= 0 {
		name = name[:i]
	}
	if bytes.HasPrefix(name, grpcPrefix) && bytes.HasSuffix(name, totalSuffix) && bytes.HasSuffix(line, zeroCounter) {
		return false
	}
	if families[string(name)] {
		return true
	}
	for _, suffix := range [...]string{"_bucket", "_sum", "_count"} {
		if base, ok := bytes.CutSuffix(name, []byte(suffix)); ok {
			return histogramFamilies[string(base)]
		}
	}
	return false
}

// value gives the value of a family that has one series.
func (e exposition) value(family string) (float64, bool) {
	f := e[family]
	if f == nil || len(f.Metric) == 0 {
		return 0, false
	}
	return seriesValue(f.Metric[0])
}

// integer is value for what etcd counts in whole numbers.
func (e exposition) integer(family string) (int64, bool) {
	v, ok := e.value(family)
	if !ok || !whole(v) {
		return 0, false
	}
	return int64(v), true
}

// label gives a label of the first series whose value is 1: how etcd exposes
// texts such as its version.
func (e exposition) label(family, name string) string {
	for _, m := range e[family].GetMetric() {
		if v, ok := seriesValue(m); ok && v == 1 {
			return label(m, name)
		}
	}
	return ""
}

func seriesValue(m *dto.Metric) (float64, bool) {
	switch {
	case m.Gauge != nil:
		return m.Gauge.GetValue(), true
	case m.Counter != nil:
		return m.Counter.GetValue(), true
	case m.Untyped != nil:
		return m.Untyped.GetValue(), true
	}
	return 0, false
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.Label {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// whole tells whether v can be an int64.
func whole(v float64) bool { return !math.IsNaN(v) && v > -math.MaxInt64 && v < math.MaxInt64 }
