// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"go.yaml.in/yaml/v3"

	"github.com/etcdreceiver/etcdreceiver"
)

// Receiver is a running receiver and what it emitted.
type Receiver struct {
	Telemetry *componenttest.Telemetry
	Log       *observer.ObservedLogs // of the receiver, from info up

	logs    receiver.Logs    // nil without a logs pipeline
	metrics receiver.Metrics // nil without a metrics pipeline

	mu      sync.Mutex
	status  []*componentstatus.Event
	batches []MetricsBatch
	records []Record

	// EachLog, if set, takes each log record instead of Records, where there are many.
	EachLog func(plog.LogRecord)
	// RefuseLogs, if set, answers each batch; nil accepts it.
	RefuseLogs func(plog.Logs) error
}

// MetricsBatch is what one call of ConsumeMetrics brought.
type MetricsBatch struct {
	At      time.Time
	Metrics pmetric.Metrics
}

// Record is one log record.
type Record struct {
	At       time.Time
	Resource map[string]any
	Name     string // EventName
	Body     string
	Attrs    map[string]any
	Severity string
}

// New creates a receiver with a pipeline for each signal that is not left out,
// and does not start it. Configuration as in the collector's file, below
// `receivers: etcd:`.
func New(t *testing.T, config string, withLogs, withMetrics bool) *Receiver {
	t.Helper()
	var raw map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(config), &raw))
	if raw["ebpf"] == nil { // the etcds of other tests run on the same host
		raw["ebpf"] = map[string]any{"mode": "disabled"}
	}
	factory := etcdreceiver.NewFactory()
	cfg := factory.CreateDefaultConfig()
	require.NoError(t, confmap.NewFromStringMap(raw).Unmarshal(cfg))
	require.NoError(t, confmap.Validate(cfg))

	core, observed := observer.New(zap.InfoLevel)
	r := &Receiver{Telemetry: componenttest.NewTelemetry(), Log: observed}
	telemetry := r.Telemetry.NewTelemetrySettings()
	telemetry.Logger = zap.New(core)
	settings := receiver.Settings{ID: component.NewID(factory.Type()), TelemetrySettings: telemetry, BuildInfo: component.NewDefaultBuildInfo()}

	var err error
	if withLogs {
		next, newErr := consumer.NewLogs(r.consumeLogs)
		require.NoError(t, newErr)
		r.logs, err = factory.CreateLogs(context.Background(), settings, cfg, next)
		require.NoError(t, err)
	}
	if withMetrics {
		next, newErr := consumer.NewMetrics(r.consumeMetrics)
		require.NoError(t, newErr)
		r.metrics, err = factory.CreateMetrics(context.Background(), settings, cfg, next)
		require.NoError(t, err)
	}
	return r
}

// Run creates a receiver with both pipelines, starts it and stops it with the
// test.
func Run(t *testing.T, config string) *Receiver {
	t.Helper()
	r := New(t, config, true, true)
	r.Start(t)
	t.Cleanup(func() { r.Stop(t) })
	return r
}

// Start starts both pipelines' receivers, as the collector's service does.
func (r *Receiver) Start(t *testing.T) {
	t.Helper()
	require.NoError(t, r.TryStart())
}

// TryStart is Start where an error is awaited.
func (r *Receiver) TryStart() error {
	for _, c := range r.components() {
		if err := c.Start(context.Background(), r); err != nil {
			return err
		}
	}
	return nil
}

// Stop stops them. It may be called twice.
func (r *Receiver) Stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, c := range r.components() {
		require.NoError(t, c.Shutdown(ctx))
	}
}

func (r *Receiver) components() []component.Component {
	var out []component.Component
	if r.logs != nil {
		out = append(out, r.logs)
	}
	if r.metrics != nil {
		out = append(out, r.metrics)
	}
	return out
}

// GetExtensions makes the Receiver its own component.Host.
func (r *Receiver) GetExtensions() map[component.ID]component.Component { return nil }

// Report notes a component status event.
func (r *Receiver) Report(ev *componentstatus.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = append(r.status, ev)
}

func (r *Receiver) consumeLogs(_ context.Context, logs plog.Logs) error {
	if r.RefuseLogs != nil {
		if err := r.RefuseLogs(logs); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rl := range logs.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				if r.EachLog != nil {
					r.EachLog(lr)
					continue
				}
				r.records = append(r.records, Record{
					At: time.Now(), Resource: rl.Resource().Attributes().AsRaw(), Name: lr.EventName(),
					Body: lr.Body().AsString(), Attrs: lr.Attributes().AsRaw(), Severity: lr.SeverityText(),
				})
			}
		}
	}
	return nil
}

func (r *Receiver) consumeMetrics(_ context.Context, metrics pmetric.Metrics) error {
	kept := pmetric.NewMetrics()
	metrics.CopyTo(kept)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.batches = append(r.batches, MetricsBatch{time.Now(), kept})
	return nil
}

// Records are the log records so far, in the order of arrival.
func (r *Receiver) Records() []Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Record(nil), r.records...)
}

// Counter is what a counter of the receiver's own telemetry has counted, of the
// points where label is value; label "": of all.
func (r *Receiver) Counter(name, label, value string) int64 {
	m, err := r.Telemetry.GetMetric("otelcol_" + name)
	if err != nil {
		return 0 // never counted
	}
	var sum int64
	for _, point := range m.Data.(metricdata.Sum[int64]).DataPoints {
		if got, ok := point.Attributes.Value(attribute.Key(label)); label == "" || ok && got.String() == value {
			sum += point.Value
		}
	}
	return sum
}

// Metrics are the batches of metrics so far.
func (r *Receiver) Metrics() []MetricsBatch {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]MetricsBatch(nil), r.batches...)
}

// Status are the component status events so far.
func (r *Receiver) Status() []*componentstatus.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*componentstatus.Event(nil), r.status...)
}
