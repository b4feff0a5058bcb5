// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package secrets

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/etcdreceiver/etcdreceiver/internal/otlpsink"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// outlet is a collector and the folder in which all ends that leaves it: what it
// exports, stores, logs, and answers to HTTP.
type outlet struct {
	*harness.Collector
	dir      string
	size     int
	policies []string
	pages    map[string]string // name and URL
	closed   atomic.Bool       // the backend refuses
	refused  atomic.Int64

	mu   sync.Mutex
	told map[string]bool // policy, event and key; metrics
}

// Every way out that the distribution has, and each at its most talkative.
var config = template.Must(template.New("").Parse(`
receivers:
{{- range $i, $policy := .Policies}}
  etcd/{{$policy}}:
    endpoints: ["{{$.Endpoint}}"]
    tls: {ca_file: {{$.CA}}, cert_file: {{$.Cert}}, key_file: {{$.Key}}}
    username: otel
    password: ${env:ETCD_PASSWORD}
    cluster_name: {{$policy}}
    timeout: 2s
    collection_interval: 1s
    initial_delay: 0s
    storage: file_storage
    retry_on_failure: {initial_interval: 50ms, max_interval: 300ms}
    status: {prometheus: required}
    events: {etcd.member.status: {enabled: true}}
    watch:
      initial_snapshot: true
      exclude: [/hidden/]
      kubernetes_prefixes: [/vcluster/registry/]
      value: {policy: {{$policy}}, max_bytes: 0, redact: {keys: ['(?i)password']}}
    ebpf: {mode: {{if $i}}disabled{{else}}required{{end}}, events: {mode: all}, processes: {names: [{{$.Program}}], rescan: 100ms}}
{{- end}}
exporters:
  otlp_grpc: {endpoint: "{{.Sink}}", tls: {insecure: true}, sending_queue: {enabled: false}, retry_on_failure: {enabled: false}}
  otlp_grpc/queued: {endpoint: "{{.Sink}}", tls: {insecure: true}, sending_queue: {storage: file_storage}, retry_on_failure: {initial_interval: 100ms}}
  otlp_http: {endpoint: "{{.Refuser}}"}
  file/logs: {path: "{{.Dir}}/logs.jsonl"}
  file/metrics: {path: "{{.Dir}}/metrics.jsonl"}
  debug: {verbosity: detailed}
  prometheus: {endpoint: "{{index .Ports 0}}"}
extensions:
  file_storage: {directory: "{{.Dir}}/storage", create_directory: true}
  health_check: {endpoint: "{{index .Ports 1}}"}
  zpages: {endpoint: "{{index .Ports 2}}", expvar: {enabled: true}}
  pprof: {endpoint: "{{index .Ports 3}}"}
service:
  extensions: [file_storage, health_check, zpages, pprof]
  telemetry:
    logs: {level: debug, sampling: {enabled: false}}
    metrics: {level: detailed, readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: {{.Telemetry}}}}}}]}
  pipelines:
    logs: {receivers: [{{.Receivers}}], exporters: [otlp_grpc, otlp_grpc/queued, otlp_http, file/logs, debug]}
    metrics: {receivers: [{{.Receivers}}], exporters: [otlp_grpc, otlp_grpc/queued, otlp_http, file/metrics, debug, prometheus]}
`))

func startOutlet(t *testing.T, w *world, policies []string) *outlet {
	t.Helper()
	o := &outlet{dir: t.TempDir(), policies: policies, told: map[string]bool{}}
	sink, err := otlpsink.Start(otlpsink.Config{OnLogs: o.takeLogs, OnMetrics: o.takeMetrics})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sink.Close()) })
	refuser := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		http.Error(rw, "for good", http.StatusBadRequest)
	}))
	t.Cleanup(refuser.Close)

	var ports []string
	for range 5 {
		ports = append(ports, harness.FreeAddress(t))
	}
	var receivers []string
	for _, policy := range policies {
		receivers = append(receivers, "etcd/"+policy)
	}
	files := w.cluster.TLS()
	var text bytes.Buffer
	require.NoError(t, config.Execute(&text, map[string]any{
		"Policies": policies, "Receivers": strings.Join(receivers, ", "), "Endpoint": w.cluster.Endpoints()[0],
		"Program": filepath.Base(w.cluster.Members()[0].Binary()), "CA": files.CAFile, "Cert": files.CertFile, "Key": files.KeyFile,
		"Sink": sink.Addr(), "Refuser": refuser.URL, "Dir": o.dir, "Ports": ports, "Telemetry": strings.TrimPrefix(ports[4], "127.0.0.1:"),
	}))
	file := harness.ConfigFile(t, text.String())
	o.Collector = harness.StartDistribution(t, []string{"ETCD_PASSWORD=" + w.password, "GOTRACEBACK=system"}, file)
	o.pages = map[string]string{
		"prometheus": ports[0] + "/metrics", "health": ports[1], "telemetry": ports[4] + "/metrics",
		"goroutines": ports[3] + "/debug/pprof/goroutine?debug=2", "heap": ports[3] + "/debug/pprof/heap?debug=1", "cmdline": ports[3] + "/debug/pprof/cmdline",
	}
	for _, page := range []string{"servicez", "pipelinez", "extensionz", "featurez", "expvarz"} {
		o.pages[page] = ports[2] + "/debug/" + page
	}
	return o
}

func (o *outlet) awaitReady(t *testing.T) {
	t.Helper()
	o.Await(t, "requests of etcd are traced", 1)
	o.Await(t, "\twatching\t", len(o.policies))
}

// keep appends to a file of the outlet's folder.
func (o *outlet) keep(name string, content []byte, err error) error {
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(o.dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

var errClosed = errors.New("not now")

func (o *outlet) takeLogs(logs plog.Logs) error {
	wire, err := (&plog.ProtoMarshaler{}).MarshalLogs(logs)
	if err := o.keep("otlp-logs", wire, err); err != nil { // also what is refused has left
		return err
	}
	if o.closed.Load() {
		o.refused.Add(1)
		return errClosed
	}
	text, err := (&plog.JSONMarshaler{}).MarshalLogs(logs)
	if err := o.keep("otlp-logs.json", text, err); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, rl := range logs.ResourceLogs().All() {
		policy := rl.Resource().Attributes().AsRaw()["etcd.cluster.name"]
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				key, _ := lr.Attributes().AsRaw()["etcd.key"].(string)
				o.told[fmt.Sprint(policy, " ", lr.EventName(), " ", key)] = true
			}
		}
	}
	return nil
}

func (o *outlet) takeMetrics(metrics pmetric.Metrics) error {
	wire, err := (&pmetric.ProtoMarshaler{}).MarshalMetrics(metrics)
	if err := o.keep("otlp-metrics", wire, err); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, rm := range metrics.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				o.told["metric "+m.Name()] = true
			}
		}
	}
	return nil
}

func (o *outlet) awaitLast(t *testing.T) {
	t.Helper()
	for _, policy := range o.policies {
		waitFor(t, "the last change, in "+policy, func() bool {
			o.mu.Lock()
			defer o.mu.Unlock()
			return o.told[policy+" etcd.kv.put "+lastKey]
		})
	}
}

// read gives a page of the collector.
func (o *outlet) read(t *testing.T, name string) []byte {
	t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + o.pages[name])
	require.NoError(t, err, name)
	content, err := io.ReadAll(answer.Body)
	require.NoError(t, errors.Join(err, answer.Body.Close()))
	require.Equal(t, http.StatusOK, answer.StatusCode, "%s: %s", name, content)
	return content
}

// readPages keeps what the collector tells of itself.
func (o *outlet) readPages(t *testing.T) {
	t.Helper()
	for name := range o.pages {
		require.NoError(t, o.keep("page-"+name, o.read(t, name), nil))
	}
}

var stored = regexp.MustCompile(`(?m)^otelcol_receiver_etcd_checkpoint_revision\{.*\} (\S+)$`)

// awaitStored waits until a position behind a revision is stored. Receivers of one
// collector share the metric that tells it.
func (o *outlet) awaitStored(t *testing.T, revision int64) {
	t.Helper()
	waitFor(t, "the checkpoint", func() bool {
		position := stored.FindSubmatch(o.read(t, "telemetry"))
		if position == nil {
			return false
		}
		n, err := strconv.ParseFloat(string(position[1]), 64)
		return err == nil && int64(n) >= revision
	})
}

// endBy ends the collector as a signal does.
func (o *outlet) endBy(t *testing.T, signal syscall.Signal) {
	t.Helper()
	require.NoError(t, syscall.Kill(o.PID(), signal))
	select {
	case <-o.Done():
	case <-time.After(patience):
		require.Fail(t, fmt.Sprint("the collector does not end by ", signal))
	}
	if signal != syscall.SIGTERM {
		require.Contains(t, string(o.Output()), "goroutine 1 ", "it has dumped its goroutines")
	}
}
