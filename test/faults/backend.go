// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
)

// runLabel is the resource attribute that tells which process of the collector sent a record.
const runLabel = "faults.run"

// Backend is the sink. Unlike internal/otlpsink it can hold a request, refuse for good, and go away, and it takes
// nothing that the client has given up: that would be a repeat which is nobody's fault.
type Backend struct {
	addr string

	mu       sync.Mutex
	server   *grpc.Server // nil while it is closed
	served   chan struct{}
	mode     mode
	poison   string        // key; empty for none
	changed  chan struct{} // closed when mode changes
	requests int
	refused  int
	records  []Record
	grown    chan struct{}
}

type mode int

const (
	accept mode = iota
	refuse      // as unavailable: try again
	reject      // as invalid: for good
	hold        // no answer until the mode changes
)

// StartBackend listens on an address; a port of 0 is a free one. Close it.
func StartBackend(addr string) (*Backend, error) {
	b := &Backend{addr: addr, changed: make(chan struct{}), grown: make(chan struct{})}
	return b, b.Open()
}

// Addr is host:port.
func (b *Backend) Addr() string { return b.addr }

// Open begins to serve, after Close at the same address as before.
func (b *Backend) Open() error {
	l, err := net.Listen("tcp", b.addr)
	if err != nil {
		return fmt.Errorf("open the sink: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.addr = l.Addr().String()
	b.server = grpc.NewServer(grpc.MaxRecvMsgSize(64<<20), grpc.WaitForHandlers(true))
	b.served = make(chan struct{})
	plogotlp.RegisterGRPCServer(b.server, &handler{backend: b})
	go func(s *grpc.Server, served chan struct{}) { // ends with Close
		defer close(served)
		_ = s.Serve(l)
	}(b.server, b.served)
	b.set(accept)
	return nil
}

// Close cuts all connections. A request that was taken gets its answer first.
func (b *Backend) Close() {
	b.mu.Lock()
	server, served := b.server, b.served
	b.server = nil
	b.set(refuse)
	b.mu.Unlock()
	if server == nil {
		return
	}
	time.Sleep(50 * time.Millisecond) // for answers on their way: a record that is taken must be acknowledged
	server.Stop()
	<-served
}

// Set changes how requests are answered, those that are held as well.
func (b *Backend) Set(m mode) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(m)
}

func (b *Backend) set(m mode) {
	b.mode = m
	close(b.changed)
	b.changed = make(chan struct{})
}

// Poison makes the sink refuse each request with a record of this key for good, as a backend does that cannot parse it.
func (b *Backend) Poison(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.poison = key
}

// Records gives all that arrived so far.
func (b *Backend) Records() []Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Record(nil), b.records...)
}

// Refused is how many requests were not taken.
func (b *Backend) Refused() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refused
}

// Wait returns when a record has arrived that fulfils a condition.
func (b *Backend) Wait(ctx context.Context, what string, holds func(r *Record) bool) error {
	next := 0
	for {
		b.mu.Lock()
		fresh, grown := b.records[next:], b.grown
		b.mu.Unlock()
		for i := range fresh {
			if holds(&fresh[i]) {
				return nil
			}
		}
		next += len(fresh)
		select {
		case <-grown:
		case <-ctx.Done():
			return fmt.Errorf("%s did not arrive among %d records: %w", what, next, ctx.Err())
		}
	}
}

// take answers one request.
func (b *Backend) take(ctx context.Context, logs plog.Logs) error {
	for {
		b.mu.Lock()
		m, changed := b.mode, b.changed
		if m == accept && b.poisoned(logs) {
			m = reject
		}
		if m == accept && ctx.Err() == nil {
			b.keep(logs)
			b.mu.Unlock()
			return nil
		}
		if m != hold {
			b.refused++
		}
		b.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case m == refuse:
			return status.Error(codes.Unavailable, "the sink refuses")
		case m == reject:
			return status.Error(codes.InvalidArgument, "the sink refuses for good")
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

func (b *Backend) poisoned(logs plog.Logs) bool {
	if b.poison == "" {
		return false
	}
	for _, rl := range logs.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				if key, ok := lr.Attributes().Get("etcd.key"); ok && key.AsString() == b.poison {
					return true
				}
			}
		}
	}
	return false
}

func (b *Backend) keep(logs plog.Logs) {
	b.requests++
	for _, rl := range logs.ResourceLogs().All() {
		resource := rl.Resource().Attributes()
		cluster, _ := resource.Get("etcd.cluster.id")
		label, _ := resource.Get(runLabel)
		run, _ := strconv.Atoi(label.AsString())
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				b.records = append(b.records, Record{
					Run: run, Request: b.requests, Name: lr.EventName(), Cluster: cluster.AsString(),
					Attrs: lr.Attributes().AsRaw(), Body: lr.Body().AsString(),
				})
			}
		}
	}
	close(b.grown)
	b.grown = make(chan struct{})
}

type handler struct {
	plogotlp.UnimplementedGRPCServer
	backend *Backend
}

func (h *handler) Export(ctx context.Context, request plogotlp.ExportRequest) (plogotlp.ExportResponse, error) {
	err := h.backend.take(ctx, request.Logs())
	if errors.Is(err, context.Canceled) {
		err = status.Error(codes.Canceled, "the client gave up")
	}
	return plogotlp.NewExportResponse(), err
}
