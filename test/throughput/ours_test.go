// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package throughput

import (
	"context"
	"maps"
	"testing"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/etcdreceiver/etcdreceiver"
)

// receiverConfig is that of the receiver, all defaults but for the part of the
// change stream and what has nothing to do with it.
func receiverConfig(s *server, watch map[string]any) map[string]any {
	return map[string]any{
		"endpoints":        []any{s.ClientURL},
		"discover_members": false,
		"status":           map[string]any{"enabled": false},
		"ebpf":             map[string]any{"mode": "disabled"},
		"watch":            watch,
	}
}

// from begins the change stream at a revision.
func from(first int64, more map[string]any) map[string]any {
	watch := map[string]any{"start": "revision", "start_revision": first}
	maps.Copy(watch, more)
	return watch
}

// startOurs runs the receiver in this process.
func startOurs(ctx context.Context, tb testing.TB, s *server, watch map[string]any, consume consumer.ConsumeLogsFunc) (stop func()) {
	tb.Helper()
	check := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	factory := etcdreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	check(confmap.NewFromStringMap(receiverConfig(s, watch)).Unmarshal(config))
	check(confmap.Validate(config))
	core, logs := observer.New(zap.WarnLevel)
	telemetry := componenttest.NewNopTelemetrySettings()
	telemetry.Logger = zap.New(core)
	next, err := consumer.NewLogs(consume)
	check(err)
	settings := receiver.Settings{ID: component.NewID(factory.Type()), TelemetrySettings: telemetry, BuildInfo: component.NewDefaultBuildInfo()}
	r, err := factory.CreateLogs(ctx, settings, config, next)
	check(err)
	check(r.Start(ctx, componenttest.NewNopHost()))
	return func() {
		check(r.Shutdown(context.Background()))
		for _, line := range logs.FilterLevelExact(zap.ErrorLevel).All() {
			tb.Errorf("the receiver says: %s %v", line.Message, line.ContextMap())
		}
	}
}
