// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package otlpsink is a small OTLP/gRPC backend for the demo and the tests: it hands every batch of logs and metrics
// to a function, and can refuse it.
//
// A Sink serves from Start to Close on a loopback port. Close cuts all connections, does not wait for clients, but
// waits for the handlers that run; after it no handler is called.
package otlpsink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // the compression that OTLP exporters use unless told otherwise
	"google.golang.org/grpc/status"
)

// maxRequest bounds one batch (bytes). gRPC's own 4 MiB would refuse a batch of large values for good; this is far
// above the receiver's largest batch of 1 MiB of keys and values.
const maxRequest = 64 << 20

// Config says where to listen and what to do with the data.
//
// A handler owns the data. An error is answered as Unavailable, which asks the client to send the batch again later.
// Each handler is called by one goroutine at a time; the two may run at the same time. A nil handler accepts all.
type Config struct {
	// Addr is where to listen; empty is a free port of 127.0.0.1. The address of a closed sink can be used again, to
	// play a backend that comes back.
	Addr      string
	OnLogs    func(plog.Logs) error
	OnMetrics func(pmetric.Metrics) error
}

// Sink is a running server. Close it.
type Sink struct {
	addr   string
	server *grpc.Server
	served chan error
	close  sync.Once
}

// Start starts to serve.
func Start(cfg Config) (*Sink, error) {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("start OTLP sink on %s: %w", cfg.Addr, err)
	}
	s := &Sink{
		addr:   l.Addr().String(),
		server: grpc.NewServer(grpc.MaxRecvMsgSize(maxRequest), grpc.WaitForHandlers(true)),
		served: make(chan error, 1),
	}
	plogotlp.RegisterGRPCServer(s.server, &logs{handle: cfg.OnLogs})
	pmetricotlp.RegisterGRPCServer(s.server, &metrics{handle: cfg.OnMetrics})
	go func() { s.served <- s.server.Serve(l) }() // ends in Close
	return s, nil
}

// Addr is host:port of the sink.
func (s *Sink) Addr() string { return s.addr }

// Close ends the server. It may be called twice.
func (s *Sink) Close() error {
	var err error
	s.close.Do(func() {
		s.server.Stop()
		// The server may be stopped before Serve has begun, which Serve reports.
		if err = <-s.served; errors.Is(err, grpc.ErrServerStopped) {
			err = nil
		}
	})
	return err
}

type logs struct {
	plogotlp.UnimplementedGRPCServer
	mu     sync.Mutex
	handle func(plog.Logs) error
}

func (l *logs) Export(_ context.Context, req plogotlp.ExportRequest) (plogotlp.ExportResponse, error) {
	return plogotlp.NewExportResponse(), handle(&l.mu, l.handle, req.Logs())
}

type metrics struct {
	pmetricotlp.UnimplementedGRPCServer
	mu     sync.Mutex
	handle func(pmetric.Metrics) error
}

func (m *metrics) Export(_ context.Context, req pmetricotlp.ExportRequest) (pmetricotlp.ExportResponse, error) {
	return pmetricotlp.NewExportResponse(), handle(&m.mu, m.handle, req.Metrics())
}

func handle[T any](mu *sync.Mutex, f func(T) error, data T) error {
	if f == nil {
		return nil
	}
	mu.Lock()
	defer mu.Unlock()
	if err := f(data); err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	return nil
}
