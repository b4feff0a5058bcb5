// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package throughput

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster/child"
)

// collector is a process of the distribution.
type collector struct {
	*child.Process
	profiler *profiler // nil unless asked for
}

// startCollector runs the distribution with an OTLP exporter and no queue between
// receiver and exporter, so that the receiver feels what the backend does.
func startCollector(tb testing.TB, s *server, to *sink, watch map[string]any, compression string) *collector {
	tb.Helper()
	return startCollectorOf(tb, receiverConfig(s, watch), to, compression)
}

// startCollectorOf does so with any configuration of the receiver.
func startCollectorOf(tb testing.TB, receiver map[string]any, to *sink, compression string) *collector {
	tb.Helper()
	c := &collector{profiler: newProfiler(tb)}
	receiver["timeout"] = "60s" // etcd can be frozen until the collector has started
	service := map[string]any{
		"telemetry": map[string]any{"metrics": map[string]any{"level": "none"}},
		"pipelines": map[string]any{"logs": map[string]any{"receivers": []string{"etcd"}, "exporters": []string{"otlp_grpc"}}},
	}
	all := map[string]any{
		"receivers": map[string]any{"etcd": receiver},
		"exporters": map[string]any{"otlp_grpc": map[string]any{
			"endpoint":         to.addr,
			"tls":              map[string]any{"insecure": true},
			"compression":      compression,
			"timeout":          "10m", // a held request is not sent twice
			"sending_queue":    map[string]any{"enabled": false},
			"retry_on_failure": map[string]any{"enabled": false},
		}},
		"service": service,
	}
	c.profiler.configure(all, service)
	text, err := yaml.Marshal(all)
	if err != nil {
		tb.Fatal(err)
	}
	program := needed(tb, "OTELCOL_ETCD", "")
	file := filepath.Join(tb.TempDir(), "collector.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		tb.Fatal(err)
	}
	if c.Process, err = child.Start(child.Config{Path: program, Args: []string{"--config", file}}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Kill() })
	return c
}

// settle waits until it has started: until it uses next to nothing.
func (c *collector) settle(tb testing.TB) {
	tb.Helper()
	for before, end := cpuTime(tb, c.PID()), time.Now().Add(20*time.Second); time.Now().Before(end); {
		time.Sleep(500 * time.Millisecond)
		now := cpuTime(tb, c.PID())
		if before > 50*time.Millisecond && now-before < 5*time.Millisecond {
			return
		}
		before = now
	}
	tb.Fatalf("the collector does not come to rest; its last lines:\n%s", c.Tail())
}
