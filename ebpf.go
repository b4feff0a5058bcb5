// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package etcdreceiver

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"path"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/receiver/trace"
)

// tracer opens the road of the kernel; nil without an error if it is switched off,
// or cannot be had and need not.
func (r *etcdReceiver) tracer() (*trace.Tracer, error) {
	c := &r.config.Ebpf
	if c.Mode == "disabled" {
		return nil, nil
	}
	t := &trace.Tracer{
		Settings: trace.Settings{
			Mode: trace.Mode(c.Events.Mode), Operations: c.Operations, SlowRequest: c.Events.SlowThreshold, Sample: c.Events.SampleRatio,
			Exclude: r.config.Watch.Exclude, MaxRecords: c.Events.MaxPerSecond, Top: c.Top,
			Disk: c.Disk.Enabled, SlowSync: c.Disk.SlowThreshold, Network: c.Network.Enabled,
			RingBytes: c.RingBufferSize, Rescan: c.Processes.Rescan, Interval: r.config.CollectionInterval,
			Names: c.Processes.Names, Paths: c.Processes.Paths, PIDs: c.Processes.Pids, DropCapabilities: c.DropCapabilities,
		},
		Cluster: r.cluster, Window: r.window, Format: r.format, Resource: r.resource, Logger: r.settings.Logger,
		Builder: metadata.NewMetricsBuilder(r.config.MetricsBuilder, r.settings),
		Lost: func(stage string, n int64) {
			r.telemetry.ReceiverEtcdEventsLost.Add(context.Background(), n, stageOf(stage))
		},
		Missed: func(n int64) { r.telemetry.ReceiverEtcdProgramMisses.Add(context.Background(), n) },
		Report: func(int, error) {},
	}
	if c.Mode == "required" { // else there may be another etcd on this host, which is none of ours
		t.Report = func(pid int, err error) {
			part := "ebpf"
			if pid != 0 {
				part = fmt.Sprintf("ebpf process %d", pid)
			}
			r.health.report(part, err)
		}
	}
	if r.metrics != nil {
		t.Metrics = r.consumeMetrics
	}
	if r.logs != nil {
		deliverer := r.deliverer()
		t.Logs = func(ctx context.Context, logs plog.Logs) error {
			r.telemetry.ReceiverEtcdEventsReceived.Add(ctx, int64(logs.LogRecordCount()), sourceKernel)
			r.deliver(ctx, deliverer, logs)
			return nil
		}
	}
	switch err := t.Open(); {
	case err == nil:
		return t, nil
	case c.Mode == "required":
		return nil, fmt.Errorf("ebpf.mode: required, but requests cannot be traced here: %w; or use ebpf.mode: auto", err)
	default:
		r.settings.Logger.Info("requests are not traced; changes and status are not affected", zap.Error(err))
		return nil, nil
	}
}

var sourceKernel = metric.WithAttributeSet(attribute.NewSet(attribute.String("source", "ebpf")))

func stageOf(stage string) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attribute.String("stage", stage)))
}

// families are what ebpf.operations may have.
var families = []string{"get", "put", "delete", "txn", "compact", "watch", "lease", "auth", "member", "maintenance", "lock", "other"}

// shortestRescan: each time all processes of the host are looked at.
const shortestRescan = 100 * time.Millisecond

// mostNames: each name is a series in the backend, for each member, and recording
// n of them takes n*n comparisons.
const mostNames = 100

func slowThreshold(path string, t time.Duration) error {
	switch {
	case t <= 0:
		return fmt.Errorf("%s %s is not positive; want for example 100ms", path, t)
	case t < time.Microsecond:
		return fmt.Errorf("%s %s is below 1µs; write a unit, for example 100ms", path, t)
	default:
		return nil
	}
}

func validateEbpf(c *EbpfConfig) []error {
	errs := []error{
		oneOf("ebpf.mode", c.Mode, "auto", "required", "disabled"),
		oneOf("ebpf.events.mode", c.Events.Mode, "none", "slow", "writes", "all"),
	}
	if c.DropCapabilities && c.Mode == "disabled" {
		errs = append(errs, errors.New("ebpf.drop_capabilities: true drops what nobody uses any more once requests are traced, but ebpf.mode is disabled; "+
			"do not grant the capabilities, or use ebpf.mode: auto or required"))
	}
	for i, o := range c.Operations {
		if !slices.Contains(families, o) {
			errs = append(errs, fmt.Errorf("ebpf.operations[%d] %q is unknown; want one of %s", i, o, strings.Join(families, ", ")))
		}
	}
	errs = append(errs, slowThreshold("ebpf.events.slow_threshold", c.Events.SlowThreshold), slowThreshold("ebpf.disk.slow_threshold", c.Disk.SlowThreshold))
	if r := c.Events.SampleRatio; !(r >= 0 && r <= 1) { // also NaN
		errs = append(errs, fmt.Errorf("ebpf.events.sample_ratio %v is not between 0 and 1", r))
	}
	if n := c.Events.MaxPerSecond; n < 0 {
		errs = append(errs, fmt.Errorf("ebpf.events.max_per_second %d is negative; want a positive number, or 0 for no limit", n))
	}
	if n := c.Top; n < 0 || n > mostNames {
		errs = append(errs, fmt.Errorf("ebpf.top %d is not between 0 and %d; want for example 20", n, mostNames))
	}
	if t := c.Processes.Rescan; t < shortestRescan {
		errs = append(errs, fmt.Errorf("ebpf.processes.rescan %s is below %s; write a unit, for example 5s", t, shortestRescan))
	}
	for i, n := range c.Processes.Names {
		if n == "" || strings.Contains(n, "/") {
			errs = append(errs, fmt.Errorf("ebpf.processes.names[%d] %q is no base name; want for example etcd", i, n))
		}
	}
	for i, p := range c.Processes.Paths {
		if !path.IsAbs(p) || path.Clean(p) != p {
			errs = append(errs, fmt.Errorf("ebpf.processes.paths[%d] %q is no absolute path in its shortest form; want for example /usr/local/bin/k3s", i, p))
		}
	}
	for i, p := range c.Processes.Pids {
		if p < 1 {
			errs = append(errs, fmt.Errorf("ebpf.processes.pids[%d] %d is no process id; want a positive number", i, p))
		}
	}
	if n := c.RingBufferSize; n < 64<<10 || n > 1<<30 || bits.OnesCount(uint(n)) != 1 {
		errs = append(errs, fmt.Errorf("ebpf.ring_buffer_size %d is no power of two from 65536 to 1073741824; want for example 8388608", n))
	}
	return errs
}
