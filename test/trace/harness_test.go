// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package trace tests the road of the kernel: requests as they are read from
// unmodified etcds, with real programs in this machine's kernel.
package trace

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
	"github.com/etcdreceiver/etcdreceiver/internal/join"
	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
	"github.com/etcdreceiver/etcdreceiver/receiver/trace"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
	"github.com/etcdreceiver/etcdreceiver/test/kernels/guest"
)

func TestMain(m *testing.M) {
	guest.Boot()
	goleak.VerifyTestMain(m)
}

// patience is how long these tests wait for something that must happen; the machine
// may be busy.
var patience = 60 * time.Second

func init() {
	if guest.Inside() { // a machine that is emulated, beside others
		patience = 3 * time.Minute
	}
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for began := time.Now(); !done(); time.Sleep(10 * time.Millisecond) {
		require.Less(t, time.Since(began), patience, "waited in vain for: %s", what)
	}
}

// record is a log record as it left.
type record struct {
	event    string
	start    time.Time
	attrs    map[string]any
	body     string
	resource map[string]any
}

// text is an attribute, "" if it is not there.
func (r *record) text(name string) string { s, _ := r.attrs[name].(string); return s }

// port is that of the client, 0 if it is not known.
func (r *record) port() int { n, _ := r.attrs["client.port"].(int64); return int(n) }

// tracing is a running Tracer and what it has told.
type tracing struct {
	Log *observer.ObservedLogs

	each   func(plog.LogRecord) // instead of records, where there are many
	window *join.Window         // of changes, nil if none are signed
	told   func(pid int)        // in the goroutine that reads the ring

	mu      sync.Mutex
	records []record
	lost    map[string]int64
	misses  int           // of programs on tracepoints
	state   map[int]error // by PID; nil: it is traced
	metrics pmetric.Metrics
	stop    func()
}

// everything is the settings under which each request becomes a record.
func everything(pids ...int) trace.Settings {
	return trace.Settings{
		Mode: trace.ModeAll, SlowRequest: time.Hour, Sample: 1, Network: true, RingBytes: 8 << 20,
		Rescan: 100 * time.Millisecond, Interval: 100 * time.Millisecond, PIDs: pids,
	}
}

// follow traces the members of a cluster, or what settings say, until the test
// ends. It does not wait for anything.
func follow(t *testing.T, cluster *localcluster.Cluster, settings trace.Settings, password string) *tracing {
	t.Helper()
	return (&tracing{}).follow(t, cluster, settings, password)
}

func (tr *tracing) follow(t *testing.T, cluster *localcluster.Cluster, settings trace.Settings, password string) *tracing {
	t.Helper()
	return tr.followAt(t, clientOf(t, cluster, password), settings)
}

// followAt traces what a client leads to.
func (tr *tracing) followAt(t *testing.T, client *etcdclient.Cluster, settings trace.Settings) *tracing {
	t.Helper()
	harness.NeedRoot(t)
	core, log := observer.New(zap.InfoLevel)
	tr.Log, tr.lost, tr.state, tr.metrics = log, map[string]int64{}, map[int]error{}, pmetric.NewMetrics()
	tracer := &trace.Tracer{
		Settings: settings, Cluster: client, Logger: zap.New(core),
		Format:   &logrecord.Format{Events: metadata.DefaultEventsConfig(), Body: true, Version: "test"},
		Resource: &resource.Builder{Attributes: metadata.DefaultResourceAttributesConfig()},
		Builder:  metadata.NewMetricsBuilder(metadata.NewDefaultMetricsBuilderConfig(), receivertest.NewNopSettings(metadata.Type)),
		Logs:     tr.consume,
		Metrics:  tr.consumeMetrics,
		Lost:     tr.countLost,
		Missed:   tr.countMisses,
		Window:   tr.window,
		Report:   tr.report,
	}
	if err := tracer.Open(); err != nil {
		require.NotErrorIs(t, err, os.ErrPermission)
		harness.NotHere(t, err.Error())
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); tracer.Run(ctx) }()
	tr.stop = sync.OnceFunc(func() { cancel(); <-done; require.NoError(t, tracer.Cluster.Close()) })
	t.Cleanup(tr.stop)
	t.Cleanup(func() {
		if t.Failed() {
			for _, e := range log.All() {
				t.Log(e.Time.Format(time.TimeOnly), e.Message, e.ContextMap())
			}
		}
	})
	return tr
}

// clientOf is how the tracer asks a cluster.
func clientOf(t *testing.T, cluster *localcluster.Cluster, password string) *etcdclient.Cluster {
	t.Helper()
	settings := etcdclient.Settings{Timeout: 5 * time.Second}
	for _, text := range cluster.Endpoints() {
		e, err := etcdclient.ParseEndpoint(text)
		require.NoError(t, err)
		settings.Endpoints = append(settings.Endpoints, e)
	}
	if password != "" {
		settings.Username, settings.Password = "root", string(configopaque.String(password))
	}
	if files := cluster.TLS(); files != nil {
		tls := configtls.NewDefaultClientConfig()
		tls.CAFile, tls.CertFile, tls.KeyFile = files.CAFile, files.CertFile, files.KeyFile
		settings.TLS = &tls
	}
	return etcdclient.NewCluster(settings, false)
}

// awaitTraced waits until requests of these processes become records.
func (tr *tracing) awaitTraced(t *testing.T, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		waitFor(t, "an etcd that is traced", func() bool {
			tr.mu.Lock()
			defer tr.mu.Unlock()
			err, known := tr.state[pid]
			return known && err == nil
		})
	}
}

var errNotTold = errors.New("nothing was told of it")

// stateOf is what was last told of a process.
func (tr *tracing) stateOf(pid int) error {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if err, known := tr.state[pid]; known {
		return err
	}
	return errNotTold
}

func (tr *tracing) consume(_ context.Context, logs plog.Logs) error {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, rl := range logs.ResourceLogs().All() {
		of := rl.Resource().Attributes().AsRaw()
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				if tr.each != nil {
					tr.each(lr)
					continue
				}
				tr.records = append(tr.records, record{
					event: lr.EventName(), start: lr.Timestamp().AsTime(), attrs: lr.Attributes().AsRaw(), body: lr.Body().AsString(), resource: of,
				})
			}
		}
	}
	return nil
}

func (tr *tracing) consumeMetrics(_ context.Context, metrics pmetric.Metrics) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.metrics = metrics
}

func (tr *tracing) countLost(stage string, n int64) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.lost[stage] += n
}

func (tr *tracing) countMisses(n int64) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.misses += int(n)
}

func (tr *tracing) report(pid int, err error) {
	tr.mu.Lock()
	tr.state[pid] = err
	tr.mu.Unlock()
	if tr.told != nil {
		tr.told(pid)
	}
}

// Records are those so far.
func (tr *tracing) Records() []record {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return append([]record(nil), tr.records...)
}

// Lost is what was lost so far, by stage.
func (tr *tracing) Lost() map[string]int64 {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	lost := map[string]int64{}
	for stage, n := range tr.lost {
		lost[stage] = n
	}
	return lost
}

// Misses is how often a guest's kernel has not run a program on a tracepoint: so much
// may be missing of syncs and connections. 0 on a host, where nothing may.
func (tr *tracing) Misses() int {
	if !guest.Inside() {
		return 0
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.misses
}

// pids are the processes of a cluster.
func pids(cluster *localcluster.Cluster) []int {
	var all []int
	for _, m := range cluster.Members() {
		all = append(all, m.PID())
	}
	return all
}
