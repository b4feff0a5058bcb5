// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package etcdreceiver

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/internal/checkpoint"
	"github.com/etcdreceiver/etcdreceiver/internal/delivery"
	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
	"github.com/etcdreceiver/etcdreceiver/internal/join"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/redact"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
	"github.com/etcdreceiver/etcdreceiver/receiver/status"
	"github.com/etcdreceiver/etcdreceiver/receiver/watch"
)

// etcdReceiver runs all roads for one configuration. The pipelines share it:
// each may call Start and Shutdown, the first call counts.
type etcdReceiver struct {
	config   *Config
	settings receiver.Settings
	logs     consumer.Logs    // nil without a logs pipeline
	metrics  consumer.Metrics // nil without a metrics pipeline

	obs       *receiverhelper.ObsReport
	telemetry *metadata.TelemetryBuilder
	format    *logrecord.Format
	resource  *resource.Builder
	release   func() // of the factory's share

	start, shutdown sync.Once
	startErr        error
	cancel          context.CancelFunc // nil before Start
	running         sync.WaitGroup
	cluster         *etcdclient.Cluster
	checkpoint      *checkpoint.Store // nil without storage
	window          *join.Window      // nil unless changes are to tell their authors
	health          *health
	events          chan plog.Logs
	metricsRefused  atomic.Bool // the last collection, of whichever road
}

// kubernetesSecrets matches keys whose values never leave the host, also where the
// user's own patterns and prefixes replace the default ones.
func kubernetesSecrets(prefixes []string) string {
	var quoted []string
	for _, p := range slices.Concat(NewDefaultWatchConfig().KubernetesPrefixes, prefixes) {
		quoted = append(quoted, regexp.QuoteMeta(p))
	}
	return `^(` + strings.Join(quoted, "|") + `)([^/]*\.[^/]*/)?secrets/`
}

// kubernetes says which keys are told as objects.
func (c *WatchConfig) kubernetes() logrecord.Kubernetes {
	if c.Kubernetes == "disabled" {
		return logrecord.Kubernetes{}
	}
	k := logrecord.Kubernetes{Prefixes: c.KubernetesPrefixes, Always: c.Kubernetes == "enabled"}
	for _, name := range c.KubernetesAPIServers {
		k.APIServers = append(k.APIServers, name[:min(len(name), processNameBytes)])
	}
	for _, client := range c.KubernetesRemoteAPIServers {
		_ = k.Remote.Add(client) // validated
	}
	return k
}

// processNameBytes is what Linux keeps of a process's name: TASK_COMM_LEN without the
// zero.
const processNameBytes = 15

func newReceiver(settings receiver.Settings, config *Config, release func()) (*etcdReceiver, error) {
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{
		ReceiverID: settings.ID, Transport: "grpc", LongLivedCtx: true, ReceiverCreateSettings: settings,
	})
	if err != nil {
		return nil, err
	}
	telemetry, err := metadata.NewTelemetryBuilder(settings.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	keys, err := redact.Compile(append([]string{kubernetesSecrets(config.Watch.KubernetesPrefixes)}, config.Watch.Value.Redact.Keys...))
	if err != nil {
		return nil, err
	}
	return &etcdReceiver{
		config: config, settings: settings, obs: obs, telemetry: telemetry, release: release, health: newHealth(),
		format: &logrecord.Format{
			Events: config.Events, Body: config.Body == "sentence", Version: settings.BuildInfo.Version,
			Values: redact.Rules{
				Policy: redact.Policy(config.Watch.Value.Policy), MaxBytes: config.Watch.Value.MaxBytes,
				Keys: keys, Action: redact.Policy(config.Watch.Value.Redact.Action),
			},
			Kubernetes: config.Watch.kubernetes(),
		},
		resource: &resource.Builder{
			Attributes: config.MetricsBuilder.ResourceAttributes, ClusterName: config.ClusterName, Labels: config.Labels,
		},
	}, nil
}

// Start begins to follow etcd and returns at once: it makes no connection. An
// etcd that is not there is a recoverable component status.
func (r *etcdReceiver) Start(ctx context.Context, host component.Host) error {
	r.health.add(host)
	r.start.Do(func() { r.startErr = r.run(ctx, host) })
	return r.startErr
}

func (r *etcdReceiver) run(ctx context.Context, host component.Host) error {
	settings, err := r.config.clientSettings()
	if err != nil {
		return err
	}
	watches := r.logs != nil && r.config.Watch.Enabled
	if watches {
		if r.checkpoint, err = openCheckpoint(ctx, host, r.config.Storage, r.settings.ID); err != nil {
			return err
		}
		if r.checkpoint == nil {
			r.settings.Logger.Warn("no storage is configured: the position of the change stream is kept in memory, so changes are missed while the collector does not run, without a record; set storage, for example to file_storage")
		}
	}
	r.cluster = etcdclient.NewCluster(settings, r.config.DiscoverMembers)
	if watches && r.config.Watch.Authors && r.config.Ebpf.Mode != "disabled" {
		r.window = join.NewWindow()
	}
	tracer, err := r.tracer()
	if err != nil {
		return err
	}
	if tracer == nil && r.config.Watch.Scope == "local" {
		r.settings.Logger.Warn("watch.scope is local, but requests are not traced: all changes are told")
	}
	// Not the context of Start, which may end when Start has returned.
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel

	if r.config.Status.Enabled {
		collector := r.collector(ctx)
		r.running.Go(func() { collector.Run(ctx) })
	}
	if watches {
		watcher := r.watcher()
		r.running.Go(func() { watcher.Run(ctx) })
	}
	if tracer != nil {
		r.running.Go(func() { tracer.Run(ctx) })
	}
	return nil
}

func (c *Config) clientSettings() (etcdclient.Settings, error) {
	settings := etcdclient.Settings{Username: c.Username, Password: string(c.Password), TLS: c.TLS.Get(), Timeout: c.Timeout}
	for _, text := range c.Endpoints {
		e, err := etcdclient.ParseEndpoint(text)
		if err != nil {
			return settings, err
		}
		settings.Endpoints = append(settings.Endpoints, e)
	}
	return settings, nil
}

func (r *etcdReceiver) watcher() *watch.Watcher {
	c := &r.config.Watch
	w := &watch.Watcher{
		Settings: watch.Settings{
			Prefixes: c.Prefixes, Exclude: c.Exclude, PrevKV: c.PrevKv, Heartbeat: watch.Heartbeat, PermissionCheck: watch.PermissionCheck, Stall: watch.Stall,
			Batch: watch.Bounds{MaxRecords: c.Batch.MaxRecords, MaxBytes: c.Batch.MaxBytes, MaxDelay: c.Batch.MaxDelay, WholeRecords: watch.WholeRecords, WholeBytes: watch.WholeBytes},
			Start: watch.Start(c.Start), StartRevision: c.StartRevision, InitialSnapshot: c.InitialSnapshot,
			OnCompaction:    watch.OnCompaction(c.OnCompaction),
			StopWhenRefused: r.config.OnPermanentError == "stop",
			Local:           c.Scope == "local", UnnamedEvery: watch.UnnamedEvery, Interval: r.config.CollectionInterval,
		},
		Cluster: r.cluster, Window: r.window, Format: r.format, Resource: r.resource, Checkpoint: r.checkpoint,
		Deliver: r.deliverer().Deliver, Telemetry: r.telemetry, Logger: r.settings.Logger,
		Report:  func(prefix string, err error) { r.health.report("watch "+prefix, err) },
		Builder: metadata.NewMetricsBuilder(r.config.MetricsBuilder, r.settings),
	}
	if r.metrics != nil {
		w.Metrics = r.consumeMetrics
	}
	return w
}

func (r *etcdReceiver) collector(ctx context.Context) *status.Collector {
	c := &status.Collector{
		Settings: status.Settings{
			Interval: r.config.CollectionInterval, InitialDelay: r.config.InitialDelay, Timeout: r.config.Timeout,
			Discover:    r.config.DiscoverMembers,
			ReadMetrics: r.config.Status.Prometheus != "disabled", RequireMetrics: r.config.Status.Prometheus == "required",
			Histograms: r.config.Histogram != "none",
		},
		Cluster: r.cluster, Resource: r.resource, Format: r.format, Telemetry: r.telemetry, Logger: r.settings.Logger,
		Builder: metadata.NewMetricsBuilder(r.config.MetricsBuilder, r.settings),
		Report:  func(err error) { r.health.report("status", err) },
	}
	if r.metrics != nil {
		c.Metrics = r.consumeMetrics
	}
	if r.logs != nil {
		r.events = make(chan plog.Logs, eventQueue)
		c.Logs = r.queueEvents
		r.running.Go(func() { r.deliverEvents(ctx) })
	}
	return c
}

func (r *etcdReceiver) deliverer() *delivery.Deliverer {
	return &delivery.Deliverer{
		Next: r.logs, Retry: r.config.RetryOnFailure, Obs: r.obs, Retries: r.telemetry.ReceiverEtcdRetries,
		Duration: r.telemetry.ReceiverEtcdConsumeDuration, Logger: r.settings.Logger,
	}
}

// consumeMetrics offers one collection to the pipeline, once: the next one is
// newer, and sums are cumulative.
func (r *etcdReceiver) consumeMetrics(ctx context.Context, metrics pmetric.Metrics) {
	points := metrics.DataPointCount()
	ctx = r.obs.StartMetricsOp(ctx)
	err := r.metrics.ConsumeMetrics(ctx, metrics)
	r.obs.EndMetricsOp(ctx, "etcd", points, err)
	refusedBefore := r.metricsRefused.Swap(err != nil)
	switch {
	case err != nil && !refusedBefore:
		r.settings.Logger.Warn("the pipeline refuses metrics; what it refuses is not offered again", zap.Int("data_points", points), zap.Error(err))
	case err == nil && refusedBefore:
		r.settings.Logger.Info("the pipeline accepts metrics again")
	}
}

// eventQueue is how many collections' events wait for a pipeline that refuses.
// Events are rare: a handful when a leader dies, none for days.
const eventQueue = 256

var stageQueue = metric.WithAttributeSet(attribute.NewSet(attribute.String("stage", "queue")))

// queueEvents keeps a refusing logs pipeline from delaying the metrics.
func (r *etcdReceiver) queueEvents(ctx context.Context, logs plog.Logs) {
	select {
	case r.events <- logs:
	default:
		r.telemetry.ReceiverEtcdEventsLost.Add(ctx, int64(logs.LogRecordCount()), stageQueue)
		r.settings.Logger.Error("events of the cluster are lost: the logs pipeline has refused for too long", zap.Int("events", logs.LogRecordCount()))
	}
}

func (r *etcdReceiver) deliverEvents(ctx context.Context) {
	deliverer := r.deliverer()
	for {
		select {
		case <-ctx.Done():
			r.deliverLast(ctx, deliverer)
			return
		case logs := <-r.events:
			r.deliver(ctx, deliverer, logs)
		}
	}
}

// lastEvents bounds how long a shutdown waits for events that are queued.
const lastEvents = 2 * time.Second

func (r *etcdReceiver) deliverLast(ctx context.Context, deliverer *delivery.Deliverer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastEvents)
	defer cancel()
	for {
		select {
		case logs := <-r.events:
			r.deliver(ctx, deliverer, logs)
		default:
			return
		}
	}
}

func (r *etcdReceiver) deliver(ctx context.Context, deliverer *delivery.Deliverer, logs plog.Logs) {
	err := deliverer.Deliver(ctx, logs)
	if err == nil {
		return
	}
	lost := logs.LogRecordCount()
	if refused, ok := errors.AsType[*delivery.RefusedError](err); ok {
		lost = refused.Records
	}
	r.telemetry.ReceiverEtcdEventsLost.Add(ctx, int64(lost), delivery.StageRefused)
	r.settings.Logger.Error("events are lost: the pipeline did not take them", zap.Int("events", lost), zap.Error(err))
}

// Shutdown ends all goroutines and connections. It waits no longer than ctx, and
// may be called before Start, and twice.
func (r *etcdReceiver) Shutdown(ctx context.Context) (err error) {
	r.shutdown.Do(func() { err = r.stop(ctx) })
	return err
}

func (r *etcdReceiver) stop(ctx context.Context) error {
	r.release()
	r.start.Do(func() {}) // a Start that comes later does nothing
	if r.cancel == nil {
		r.telemetry.Shutdown()
		return nil
	}
	r.cancel()
	// Before the wait: a call may be in the middle of a login, which ends only with its connection.
	closeErr := r.cluster.Close()
	ended := make(chan struct{})
	go func() { // ends when the roads have: their contexts are cancelled
		r.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), closeErr)
	}
	if r.checkpoint != nil {
		closeErr = errors.Join(closeErr, r.checkpoint.Close(ctx))
	}
	r.telemetry.Shutdown()
	return closeErr
}
