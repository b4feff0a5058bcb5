// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/internal/localcluster/child"
	"github.com/etcdreceiver/etcdreceiver/internal/otlpsink"
)

const (
	// startTimeout bounds the start of the cluster, and again the wait for the first change: both take a second or two
	// on an idle machine.
	startTimeout = time.Minute
	// drainTimeout bounds the wait for what is still on its way when the workload has ended. A collector that lost its
	// member reconnects within a few seconds.
	drainTimeout = 15 * time.Second

	tableInterval = 5 * time.Second
)

// demo is one run.
type demo struct {
	opts    options
	dir     string
	out     *screen
	ledger  *ledger
	members *table
	traced  requests

	cluster   *localcluster.Cluster
	collector *collector
}

// run starts everything, lets it run, and judges. Whatever it started has ended when it returns.
func (d *demo) run(ctx context.Context) (err error) {
	closeCluster, err := d.startCluster(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeCluster()) }()

	sink, err := otlpsink.Start(otlpsink.Config{OnLogs: d.onLogs, OnMetrics: d.onMetrics})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()

	stopCollector, err := d.startCollector(sink.Addr())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopCollector()) }()

	w, err := newWorkload(d.cluster, d.ledger)
	if err != nil {
		return err
	}
	defer w.close()
	if err := d.awaitWatch(ctx, w); err != nil {
		return err
	}
	if err := d.play(ctx, w); err != nil {
		return err
	}
	// Ctrl-C ends the play only: what was written until then still has to arrive. When this one is there, so is whatever
	// comes before it, also what a collector that was started again repeats.
	w.probe(ctx, "/demo/done")
	if err := d.drain(); err != nil {
		return err
	}
	return d.judge(w)
}

func (d *demo) startCluster(ctx context.Context) (func() error, error) {
	d.out.announce("starting %d etcd members and a collector in %s", d.opts.members, d.dir)
	logs, err := os.Create(filepath.Join(d.dir, "etcd.log"))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	d.cluster, err = localcluster.Start(ctx, localcluster.Config{
		Binary: d.opts.etcd, Size: d.opts.members, Dir: d.dir, LogTo: logs,
	})
	if err != nil {
		return nil, errors.Join(err, logs.Close())
	}
	return func() error { return errors.Join(d.cluster.Close(), logs.Close()) }, nil
}

func (d *demo) startCollector(sink string) (func() error, error) {
	config := filepath.Join(d.dir, "collector.yaml")
	if err := os.WriteFile(config, collectorConfig(d.cluster.Endpoints(), sink, filepath.Join(d.dir, "storage")), 0o600); err != nil {
		return nil, err
	}
	logs, err := os.Create(d.collectorLog())
	if err != nil {
		return nil, err
	}
	d.collector = &collector{cfg: child.Config{Path: d.opts.collector, Args: []string{"--config=" + config}, LogTo: logs}}
	if _, err := d.collector.start(); err != nil {
		return nil, errors.Join(err, logs.Close())
	}
	return func() error { return errors.Join(d.collector.stop(), logs.Close()) }, nil
}

func (d *demo) collectorLog() string { return filepath.Join(d.dir, "collector.log") }

func (d *demo) onLogs(ld plog.Logs) error {
	var batch []plog.LogRecord
	for _, resource := range ld.ResourceLogs().All() {
		for _, scope := range resource.ScopeLogs().All() {
			for _, record := range scope.LogRecords().All() {
				batch = append(batch, record)
				d.out.print(eventLine(record, time.Local))
			}
		}
	}
	d.ledger.arrived(batch...)
	d.traced.arrived(batch...)
	return nil
}

func (d *demo) onMetrics(md pmetric.Metrics) error {
	d.members.update(md)
	return nil
}

// broken gives an error if a child has ended by itself.
func (d *demo) broken() error {
	select {
	case err := <-d.cluster.Failed():
		return err
	default:
		return d.collector.broken()
	}
}

// awaitWatch writes probes until one of them arrives: from then on every change must arrive.
func (d *demo) awaitWatch(ctx context.Context, w *workload) error {
	const probeInterval = 200 * time.Millisecond
	timeout := time.After(startTimeout)
	for {
		w.probe(ctx, "/demo/ready")
		select {
		case <-d.ledger.started:
			d.out.announce("the watch is up; writing changes from here on, each must arrive once")
			return nil
		case <-ctx.Done():
			return errors.New("interrupted before the watch was up")
		case <-timeout:
			return fmt.Errorf("no change arrived within %v; last lines of the collector's output:\n%s", startTimeout, d.collector.tail())
		case <-time.After(probeInterval):
		}
		if err := d.broken(); err != nil {
			return err
		}
	}
}

// play runs the workload and the incidents until the time is over, ctx ends or something breaks.
func (d *demo) play(ctx context.Context, w *workload) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if d.opts.duration > 0 {
		time.AfterFunc(d.opts.duration, cancel)
	}
	written, happened := make(chan struct{}), make(chan error, 1)
	// Both goroutines end with ctx and are waited for below.
	go func() {
		defer close(written)
		w.run(ctx)
	}()
	go func() {
		err := d.incidents(ctx)
		if err != nil {
			cancel()
		}
		happened <- err
	}()
	err := d.watchOver(ctx)
	cancel()
	<-written
	return errors.Join(err, <-happened)
}

// watchOver prints the table until ctx ends, and returns early when something breaks.
func (d *demo) watchOver(ctx context.Context) error {
	tables := time.NewTicker(tableInterval)
	defer tables.Stop()
	checks := time.NewTicker(time.Second / 4)
	defer checks.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tables.C:
			d.out.print(d.members.lines()...)
		case <-checks.C:
			if err := d.broken(); err != nil {
				return err
			}
		}
	}
}

// drain waits until all has arrived, or for drainTimeout: what is missing then is the judge's business.
func (d *demo) drain() error {
	for deadline := time.Now().Add(drainTimeout); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if err := d.broken(); err != nil {
			return err
		}
		if len(d.problems()) == 0 {
			break
		}
	}
	return nil
}
