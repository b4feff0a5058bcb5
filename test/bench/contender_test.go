// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/receiver/prometheusreceiver"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/etcdreceiver/etcdreceiver"
)

// contender is one way to get metrics of a cluster.
type contender struct {
	name            string
	newFactory      func() receiver.Factory
	config          func(endpoints []string) map[string]any // as in the collector's file
	identity, proof string                                  // see sink
}

const prometheus = "prometheus" // what the others are compared with

var contenders = []contender{{
	name: "ours", newFactory: etcdreceiver.NewFactory, config: ours("auto"),
	identity: "etcd.member.id", proof: "etcd.wal.sync.duration",
}, {
	name: "ours_without_metrics", newFactory: etcdreceiver.NewFactory, config: ours("disabled"),
	identity: "etcd.member.id", proof: "etcd.db.size",
}, {
	name: prometheus, newFactory: prometheusreceiver.NewFactory, config: scrapeConfig,
	identity: "service.instance.id", proof: "etcd_disk_wal_fsync_duration_seconds",
}}

func ours(readMetrics string) func([]string) map[string]any {
	return func(endpoints []string) map[string]any {
		return map[string]any{
			"endpoints":           endpoints,
			"collection_interval": interval.String(),
			"initial_delay":       "0s",
			"status":              map[string]any{"prometheus": readMetrics},
			"ebpf":                map[string]any{"mode": "disabled"},
		}
	}
}

func scrapeConfig(endpoints []string) map[string]any {
	targets := make([]any, len(endpoints))
	for i, e := range endpoints {
		targets[i] = strings.TrimPrefix(e, "http://")
	}
	return map[string]any{
		"discovery_reload_on_startup": true, // else the first scrape comes after 5 s
		"config": map[string]any{"scrape_configs": []any{map[string]any{
			"job_name":        "etcd",
			"scrape_interval": interval.String(),
			"scrape_timeout":  interval.String(), // the longest that is allowed
			"static_configs":  []any{map[string]any{"targets": targets}},
		}}},
	}
}

// cost is what a contender used in one window, above what is used anyway.
type cost struct {
	usage
	points, scrapes float64
}

func (c cost) perScrape(used float64) float64 { return used / c.scrapes }

// measure runs the contender for one window. idle are the costs of one second
// without any.
func (c *contender) measure(b *testing.B, x *cluster, idle usage) cost {
	b.Helper()
	s := &sink{identity: c.identity, proof: c.proof}
	s.reset()
	stop, logs := c.start(b, x.Endpoints(), s)
	defer stop()
	warmUp := time.Now()
	for { // connections are open, buffers have grown
		_, _, err := s.counted(size, 3)
		if err == nil {
			break
		}
		if time.Since(warmUp) > 30*time.Second {
			b.Fatalf("%s does not deliver: %v\nits log: %v", c.name, err, logs.All())
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.reset()
	used, took, err := window(time.Duration(*scrapes)**interval, x.pids())
	if err != nil {
		b.Fatal(err)
	}
	points, scraped, err := s.counted(size, *scrapes/2)
	if err != nil {
		b.Fatalf("%s: %v\nits log: %v", c.name, err, logs.All())
	}
	return cost{used.minus(idle, took.Seconds()), points, scraped}
}

func (c *contender) start(b *testing.B, endpoints []string, s *sink) (stop func(), logs *observer.ObservedLogs) {
	b.Helper()
	check := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatalf("%s: %v", c.name, err)
		}
	}
	factory := c.newFactory()
	config := factory.CreateDefaultConfig()
	check(confmap.NewFromStringMap(c.config(endpoints)).Unmarshal(config))
	check(confmap.Validate(config))

	core, logs := observer.New(zap.WarnLevel)
	telemetry := componenttest.NewNopTelemetrySettings()
	telemetry.Logger = zap.New(core)
	settings := receiver.Settings{ID: component.NewID(factory.Type()), TelemetrySettings: telemetry, BuildInfo: component.NewDefaultBuildInfo()}
	next, err := consumer.NewMetrics(s.consume)
	check(err)
	r, err := factory.CreateMetrics(context.Background(), settings, config, next)
	check(err)
	// Goroutines inherit the label: a CPU profile can be split by it.
	pprof.Do(context.Background(), pprof.Labels("contender", c.name), func(ctx context.Context) {
		err = r.Start(ctx, componenttest.NewNopHost())
	})
	check(err)
	return func() { check(r.Shutdown(context.Background())) }, logs
}
