// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/privilege"
)

// Open puts the programs into the kernel. Its error says that nothing can be traced
// on this host, and why. Call Run after it.
func (t *Tracer) Open() (err error) {
	privilege.With(func() { err = privilege.Host{Proc: t.ProcRoot}.Explain(t.open()) })
	if t.DropCapabilities { // where nothing can be traced, nobody uses them; another receiver may
		t.drop()
	}
	return err
}

// drop leaves the rights to trace to the thread that traces.
func (t *Tracer) drop() {
	switch dropped, err := privilege.Drop(); {
	case err != nil:
		t.Logger.Warn("ebpf.drop_capabilities is true, but no capability is dropped", zap.Error(err))
	case len(dropped.Capabilities) > 0:
		t.Logger.Info("capabilities are dropped from all but the thread that traces", zap.Strings("capabilities", dropped.Capabilities),
			zap.Bool("from_programs_it_starts", dropped.Programs))
	}
}

func (t *Tracer) open() error {
	o := bpf.Options{
		RingBytes: t.RingBytes, PerfUprobes: t.PerfUprobes, PerfBuffer: t.PerfBuffer,
	}
	if t.Mode == ModeAll {
		o.Sample = t.Sample
	}
	if t.Mode != ModeNone && t.Logs != nil {
		o.SlowRequest = t.SlowRequest
	}
	programs, err := bpf.Load(o)
	if err != nil {
		return fmt.Errorf("load programs into the kernel: %w", err)
	}
	r := &tracer{
		Tracer: t, programs: programs, executables: map[identity]*found{}, processes: map[int]*process{},
		checks: make(chan *checked), checking: map[int]*check{}, ahead: wallAhead(), metrics: make(chan pmetric.Metrics, 1), gone: pmetric.NewMetrics(),
		membersTold: make(chan []member), began: time.Now(),
	}
	r.assembler = newAssembler(r.finished)
	r.openDisk()
	r.openNetwork()
	r.openLifecycle()
	t.close = r.close
	t.run = r.run
	if t.Logs != nil {
		r.outbox = &outbox{format: t.Format, resource: t.Resource, queue: make(chan plog.Logs, queueBatches), lost: t.Lost, open: map[*process]*openBatch{}}
		t.deliver = append(t.deliver, func(ctx context.Context) { r.outbox.deliver(ctx, t.Logs) })
	}
	if t.Metrics != nil {
		t.deliver = append(t.deliver, func(ctx context.Context) {
			for m := range r.metrics {
				t.Metrics(ctx, m)
			}
		})
	}
	return nil
}

// lastOffers is how long an orderly end offers what is left.
const lastOffers = 2 * time.Second

// Run traces until ctx ends, and returns when all probes are out of etcd and what
// was read is delivered, or could not be within two seconds more.
func (t *Tracer) Run(ctx context.Context) {
	offers, last, cancel := offering(ctx)
	defer cancel()
	var delivering sync.WaitGroup
	for _, deliver := range t.deliver {
		delivering.Go(func() { deliver(offers) })
	}
	t.run(ctx, last)
	delivering.Wait()
	var err error
	privilege.With(func() { err = t.close() })
	if err != nil {
		t.Logger.Warn("closing the programs in the kernel", zap.Error(err))
	}
}

// offering does not end with ctx, but lastOffers after last is called.
func offering(ctx context.Context) (offers context.Context, last func(), cancel context.CancelFunc) {
	offers, cancel = context.WithCancel(context.WithoutCancel(ctx))
	return offers, func() { time.AfterFunc(lastOffers, cancel) }, cancel
}

func (t *tracer) close() error {
	var err error
	if t.disk != nil {
		err = t.disk.Close()
	}
	if t.network != nil {
		err = errors.Join(err, t.network.close())
	}
	if t.lifecycle != nil {
		err = errors.Join(err, t.lifecycle.Close())
	}
	return errors.Join(err, t.programs.Close())
}
