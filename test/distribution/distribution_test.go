// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package distribution tests the collector that users run.
package distribution

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/goleak"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/internal/otlpsink"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

const patience = time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// validate runs the program's own check of a configuration file.
func validate(t *testing.T, file string, env ...string) (output string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, harness.Distribution(t), "validate", "--config", file)
	command.Env = append(os.Environ(), env...)
	out, err := command.CombinedOutput()
	return string(out), err
}

func TestDistributionAcceptsEveryExample(t *testing.T) {
	harness.Distribution(t)
	examples, err := filepath.Glob("../../examples/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, examples)

	cluster := harness.Start(t, "3.6", localcluster.Config{TLS: true}) // for its certificates
	files := cluster.TLS()
	pki := t.TempDir()
	for from, to := range map[string]string{files.CAFile: "ca.crt", files.CertFile: "healthcheck-client.crt", files.KeyFile: "healthcheck-client.key"} {
		content, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(pki, to), content, 0o600))
	}
	for _, example := range examples {
		t.Run(filepath.Base(example), func(t *testing.T) {
			output, err := validate(t, example,
				"ETCD_PKI="+pki, "ETCD_CA_FILE="+files.CAFile, "ETCD_CERT_FILE="+files.CertFile, "ETCD_KEY_FILE="+files.KeyFile,
				"ETCD_USERNAME=otel", "ETCD_PASSWORD=secret", "CLUSTER_NAME=test", "K8S_NODE_NAME=node-1",
				"OTLP_ENDPOINT=localhost:4317", "OTLP_HTTP_ENDPOINT=http://localhost:4318", "OTELCOL_ETCD_STATE="+t.TempDir())
			assert.NoError(t, err, output)
		})
	}
}

func TestDistributionRefusesABadConfigurationWithAReasonAndARemedy(t *testing.T) {
	harness.Distribution(t)
	for name, tc := range map[string]struct{ receiver, want string }{
		"unknown key":       {"{endpoint: 'http://localhost:2379'}", `unknown key "endpoint"; did you mean "endpoints"?`},
		"misspelt key":      {"{watch: {prefixs: [/a]}}", `unknown key "watch.prefixs"; did you mean "watch.prefixes"?`},
		"bad endpoint":      {"{endpoints: [etcd-1]}", `endpoints[0] "etcd-1" is not host:port; want for example 10.0.0.1:2379 or [::1]:2379`},
		"two bad settings":  {"{username: otel, body: novel}", `body "novel" is unknown; want sentence or none`},
		"overlap":           {"{watch: {prefixes: [/a, /a/b]}}", `watch.prefixes[1] "/a/b" lies within watch.prefixes[0] "/a"`},
		"bad pattern":       {"{watch: {value: {redact: {keys: ['(']}}}}", "want a regular expression in RE2 syntax"},
		"nothing to do":     {"{watch: {enabled: false}, status: {enabled: false}, ebpf: {mode: disabled}}", "the receiver would do nothing"},
		"unit is missing":   {"{collection_interval: 10}", "write a unit, for example 10s"},
		"unreadable CA":     {"{tls: {ca_file: /absent/ca.pem}}", `tls.ca_file "/absent/ca.pem" cannot be read`},
		"user, no password": {"{username: otel}", `username "otel" has no password`},
	} {
		t.Run(name, func(t *testing.T) {
			file := harness.ConfigFile(t, "receivers: {etcd: "+tc.receiver+"}\nexporters: {nop: {}}\nservice: {pipelines: {logs: {receivers: [etcd], exporters: [nop]}}}\n")
			output, err := validate(t, file)
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit, output)
			assert.Positive(t, exit.ExitCode())
			assert.Contains(t, output, tc.want)
			assert.NotContains(t, output, "panic")
		})
	}
}

// received is what arrived at the backend.
type received struct {
	mu      sync.Mutex
	events  []string // event name and key
	metrics map[string]bool
}

func (r *received) takeLogs(logs plog.Logs) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rl := range logs.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				key, _ := lr.Attributes().AsRaw()["etcd.key"].(string)
				r.events = append(r.events, lr.EventName()+" "+key)
			}
		}
	}
	return nil
}

func (r *received) takeMetrics(metrics pmetric.Metrics) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rm := range metrics.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				r.metrics[m.Name()] = true
			}
		}
	}
	return nil
}

func (r *received) has(event, metric string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.metrics[metric] && strings.Contains("\n"+strings.Join(r.events, "\n")+"\n", "\n"+event+"\n")
}

func TestDistributionSendsChangesAndMetricsAndEndsInOrder(t *testing.T) {
	path := harness.Distribution(t)
	cluster := harness.Start(t, "3.6", localcluster.Config{})
	got := received{metrics: map[string]bool{}}
	sink, err := otlpsink.Start(otlpsink.Config{OnLogs: got.takeLogs, OnMetrics: got.takeMetrics})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sink.Close()) })
	file := harness.ConfigFile(t, fmt.Sprintf(`
receivers:
  etcd: {endpoints: [%q], collection_interval: 500ms, initial_delay: 0s, ebpf: {mode: disabled}}
exporters:
  otlp_grpc: {endpoint: %q, tls: {insecure: true}}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    logs: {receivers: [etcd], exporters: [otlp_grpc]}
    metrics: {receivers: [etcd], exporters: [otlp_grpc]}
`, cluster.Endpoints()[0], sink.Addr()))

	var output bytes.Buffer // read after the end of the command only
	command := exec.Command(path, "--config", file)
	command.Stdout, command.Stderr = &output, &output
	require.NoError(t, command.Start())
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }() // ends with the process, which is killed below at the latest
	var once sync.Once
	var exit error
	wait := func() error { once.Do(func() { exit = <-ended }); return exit }
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = wait()
		if t.Failed() {
			t.Log(output.String())
		}
	})

	client, err := cluster.Client()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	for end := time.Now().Add(patience); !got.has("etcd.kv.put /seen", "etcd.db.size"); time.Sleep(50 * time.Millisecond) {
		require.True(t, time.Now().Before(end), "no put or no metrics arrived")
		// Again and again: what was written before the watch is open is not followed.
		_, err := client.Put(t.Context(), "/seen", "value")
		require.NoError(t, err)
	}

	require.NoError(t, command.Process.Signal(syscall.SIGTERM))
	stop := time.AfterFunc(patience, func() { _ = command.Process.Kill() })
	assert.NoError(t, wait(), "exit code 0")
	assert.True(t, stop.Stop(), "it ends by itself")
	assert.Contains(t, output.String(), "using etcd")
	assert.NotContains(t, output.String(), "panic")
}
