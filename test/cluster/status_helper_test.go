// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap/zapcore"
	"go.yaml.in/yaml/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// statusInterval is how often the receiver asks, if a test does not say otherwise.
const statusInterval = 200 * time.Millisecond

// statusReceiver is a running receiver, with questions about what it emitted.
type statusReceiver struct{ *harness.Receiver }

// statusRun runs the receiver with short intervals and without a watch; more is
// YAML that adds to this or replaces it. If the test fails, it shows what the
// receiver said.
func statusRun(t *testing.T, endpoints []string, more string) statusReceiver {
	t.Helper()
	config := map[string]any{
		"endpoints": endpoints, "collection_interval": statusInterval.String(), "initial_delay": "0s", "timeout": "5s",
		"watch": map[string]any{"enabled": false},
	}
	require.NoError(t, yaml.Unmarshal([]byte(more), &config))
	text, err := yaml.Marshal(config)
	require.NoError(t, err)
	r := statusReceiver{harness.Run(t, string(text))}
	t.Cleanup(func() {
		if t.Failed() {
			r.show(t)
		}
	})
	return r
}

func (r statusReceiver) show(t *testing.T) {
	for _, e := range r.Log.All() {
		t.Log(e.Time.Format("05.000"), e.Level, e.Message, e.ContextMap())
	}
	for _, rec := range r.Records() {
		t.Log(rec.At.Format("05.000"), rec.Severity, rec.Name, rec.Body, rec.Attrs)
	}
	for _, s := range r.Status() {
		t.Log(s.Timestamp().Format("05.000"), s.Status(), s.Err())
	}
}

// statusPoint is one data point and what it belongs to.
type statusPoint struct {
	arrived  time.Time
	resource map[string]any
	metric   pmetric.Metric
	attrs    map[string]any
	// value of a number; the count of a histogram.
	value       float64
	kind        pmetric.NumberDataPointValueType // empty for a histogram
	start, time time.Time
}

// member is the name of the member the point is about; "" for the cluster.
func (p statusPoint) member() string { name, _ := p.resource["etcd.member.name"].(string); return name }

// statusPoints gives all points of a batch, in their order.
func statusPoints(batch harness.MetricsBatch) []statusPoint {
	var out []statusPoint
	for _, rm := range batch.Metrics.ResourceMetrics().All() {
		resource := rm.Resource().Attributes().AsRaw()
		for _, sm := range rm.ScopeMetrics().All() {
			for _, metric := range sm.Metrics().All() {
				out = append(out, metricPoints(batch.At, resource, metric)...)
			}
		}
	}
	return out
}

func metricPoints(arrived time.Time, resource map[string]any, metric pmetric.Metric) []statusPoint {
	var out []statusPoint
	add := func(attrs pcommon.Map, value float64, kind pmetric.NumberDataPointValueType, start, ts pcommon.Timestamp) {
		out = append(out, statusPoint{arrived, resource, metric, attrs.AsRaw(), value, kind, start.AsTime(), ts.AsTime()})
	}
	numbers := func(points pmetric.NumberDataPointSlice) {
		for _, dp := range points.All() {
			value := dp.DoubleValue()
			if dp.ValueType() == pmetric.NumberDataPointValueTypeInt {
				value = float64(dp.IntValue())
			}
			add(dp.Attributes(), value, dp.ValueType(), dp.StartTimestamp(), dp.Timestamp())
		}
	}
	switch metric.Type() {
	case pmetric.MetricTypeSum:
		numbers(metric.Sum().DataPoints())
	case pmetric.MetricTypeGauge:
		numbers(metric.Gauge().DataPoints())
	case pmetric.MetricTypeHistogram:
		for _, dp := range metric.Histogram().DataPoints().All() {
			add(dp.Attributes(), float64(dp.Count()), pmetric.NumberDataPointValueTypeEmpty, dp.StartTimestamp(), dp.Timestamp())
		}
	}
	return out
}

// since gives the points of a metric of a member ("" for the cluster) in batches
// that arrived after t. attrs are values the point has to have, whatever the keys.
func (r statusReceiver) since(t time.Time, metric, member string, attrs ...string) []statusPoint {
	var out []statusPoint
	for _, batch := range r.Metrics() {
		if batch.At.After(t) {
			out = append(out, matching(batch, metric, member, attrs)...)
		}
	}
	return out
}

// last gives the newest point.
func (r statusReceiver) last(metric, member string, attrs ...string) (statusPoint, bool) {
	for _, batch := range slices.Backward(r.Metrics()) {
		if found := matching(batch, metric, member, attrs); len(found) > 0 {
			return found[len(found)-1], true
		}
	}
	return statusPoint{}, false
}

// is tells whether the newest point has that value.
func (r statusReceiver) is(want float64, metric, member string, attrs ...string) bool {
	p, ok := r.last(metric, member, attrs...)
	return ok && p.value == want
}

func matching(batch harness.MetricsBatch, metric, member string, attrs []string) []statusPoint {
	var out []statusPoint
	for _, rm := range batch.Metrics.ResourceMetrics().All() {
		resource := rm.Resource().Attributes().AsRaw()
		if (statusPoint{resource: resource}).member() != member {
			continue
		}
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				if m.Name() == metric {
					out = append(out, metricPoints(batch.At, resource, m)...)
				}
			}
		}
	}
	return slices.DeleteFunc(out, func(p statusPoint) bool {
		values := slices.Collect(maps.Values(p.attrs))
		return slices.ContainsFunc(attrs, func(want string) bool { return !slices.Contains(values, any(want)) })
	})
}

// events are the names of the log records so far that are about one of the members,
// or about any if none is given.
func (r statusReceiver) events(members ...string) []string {
	var out []string
	for _, rec := range r.Records() {
		name, _ := rec.Attrs["etcd.member.name"].(string)
		if len(members) == 0 || slices.Contains(members, name) {
			out = append(out, rec.Name)
		}
	}
	return out
}

// record waits for an event, the first that arrived after the given time, and
// checks what every event has.
func (r statusReceiver) record(t *testing.T, after time.Time, name string, is func(harness.Record) bool) harness.Record {
	t.Helper()
	var found harness.Record
	waitFor(t, "the event "+name, func() bool {
		for _, rec := range r.Records() {
			if rec.At.After(after) && rec.Name == name && (is == nil || is(rec)) {
				found = rec
				return true
			}
		}
		return false
	})
	require.Equal(t, name, found.Attrs["event.name"])
	require.NotEmpty(t, found.Body)
	require.Equal(t, "etcd", found.Resource["service.name"])
	require.NotContains(t, found.Resource, "etcd.member.id", "events belong to the cluster's resource")
	return found
}

// about selects the events about one member.
func about(m *localcluster.Member) func(harness.Record) bool {
	return func(rec harness.Record) bool { return rec.Attrs["etcd.member.id"] == hexID(m.ID) }
}

// said gives the receiver's own log lines that contain a text.
func (r statusReceiver) said(text string) []string {
	var out []string
	for _, e := range r.Log.All() {
		if line := fmt.Sprint(e.Level, " ", e.Message, " ", e.ContextMap()); strings.Contains(line, text) {
			out = append(out, line)
		}
	}
	return out
}

// saidAt counts the lines of a level that contain a text.
func (r statusReceiver) saidAt(level zapcore.Level, text string) int {
	n := 0
	for _, line := range r.said(text) {
		if strings.HasPrefix(line, level.String()+" ") {
			n++
		}
	}
	return n
}

// complete waits until members of these names, and the cluster, have been seen
// healthy in one batch.
func (r statusReceiver) complete(t *testing.T, members ...*localcluster.Member) {
	t.Helper()
	waitFor(t, "all members are healthy", func() bool {
		for _, m := range members {
			if !r.is(1, "etcd.member.health", m.Name, "healthy") || !r.is(1, "etcd.raft.leader.present", m.Name) {
				return false
			}
		}
		return true
	})
}

// collections waits for that many more batches.
func (r statusReceiver) collections(t *testing.T, n int) {
	t.Helper()
	have := len(r.Metrics())
	waitFor(t, "more collections", func() bool { return len(r.Metrics()) >= have+n })
}

// roles gives the leader and the others.
func roles(t *testing.T, cluster *localcluster.Cluster) (leader *localcluster.Member, followers []*localcluster.Member) {
	t.Helper()
	leader, err := cluster.Leader(testContext(t))
	require.NoError(t, err)
	for _, m := range cluster.Members() {
		if m != leader {
			followers = append(followers, m)
		}
	}
	return leader, followers
}

// noEmptyBatch checks that nothing was emitted that says nothing.
func (r statusReceiver) noEmptyBatch(t *testing.T) {
	t.Helper()
	for _, batch := range r.Metrics() {
		require.Positive(t, batch.Metrics.DataPointCount(), "an empty batch at %s", batch.At)
		for _, rm := range batch.Metrics.ResourceMetrics().All() {
			require.Positive(t, rm.ScopeMetrics().Len(), "an empty resource %v", rm.Resource().Attributes().AsRaw())
		}
	}
}

// ended tells whether the newest component status is that one.
func (r statusReceiver) ended(status string) bool {
	all := r.Status()
	return len(all) > 0 && all[len(all)-1].Status().String() == status
}
