// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package otlpsink

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster/freeport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, cfg Config) *Sink {
	t.Helper()
	s, err := Start(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// connect connects as an OTLP exporter does: with compression.
func connect(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.UseCompressor(gzip.Name)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return conn
}

// aLog is a batch with one record with the given body.
func aLog(body string) plogotlp.ExportRequest {
	ld := plog.NewLogs()
	record := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	record.SetEventName("etcd.kv.put")
	record.Body().SetStr(body)
	return plogotlp.NewExportRequestFromLogs(ld)
}

func exportLog(ctx context.Context, conn *grpc.ClientConn, body string) error {
	_, err := plogotlp.NewGRPCClient(conn).Export(ctx, aLog(body), grpc.WaitForReady(true))
	return err
}

func TestLogsArriveAsSent(t *testing.T) {
	var got plog.Logs
	s := start(t, Config{OnLogs: func(ld plog.Logs) error { got = ld; return nil }})
	body := strings.Repeat("x", 5<<20) // above the limit that gRPC has by itself
	require.NoError(t, exportLog(t.Context(), connect(t, s.Addr()), body))
	assert.Equal(t, aLog(body).Logs(), got)
}

func TestMetricsArriveAsSent(t *testing.T) {
	var got pmetric.Metrics
	s := start(t, Config{OnMetrics: func(md pmetric.Metrics) error { got = md; return nil }})
	sent := pmetric.NewMetrics()
	metric := sent.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	metric.SetName("etcd.db.size")
	metric.SetEmptyGauge().DataPoints().AppendEmpty().SetIntValue(7)
	want := pmetric.NewMetrics()
	sent.CopyTo(want)

	client := pmetricotlp.NewGRPCClient(connect(t, s.Addr()))
	_, err := client.Export(t.Context(), pmetricotlp.NewExportRequestFromMetrics(sent))
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

func TestRefusalIsUnavailable(t *testing.T) {
	s := start(t, Config{
		OnLogs:    func(plog.Logs) error { return errors.New("disk full") },
		OnMetrics: func(pmetric.Metrics) error { return errors.New("disk full") },
	})
	conn := connect(t, s.Addr())
	err := exportLog(t.Context(), conn, "x")
	assert.Equal(t, codes.Unavailable, status.Code(err))
	require.ErrorContains(t, err, "disk full")
	_, err = pmetricotlp.NewGRPCClient(conn).Export(t.Context(), pmetricotlp.NewExportRequest())
	assert.Equal(t, codes.Unavailable, status.Code(err))
}

func TestWithoutHandlersAllIsAccepted(t *testing.T) {
	s := start(t, Config{})
	conn := connect(t, s.Addr())
	require.NoError(t, exportLog(t.Context(), conn, "x"))
	_, err := pmetricotlp.NewGRPCClient(conn).Export(t.Context(), pmetricotlp.NewExportRequest())
	require.NoError(t, err)
}

func TestBackendComesBackOnTheSameAddress(t *testing.T) {
	address, err := freeport.Address() // which nobody else gets while it is closed
	require.NoError(t, err)
	first := start(t, Config{Addr: address})
	require.NoError(t, first.Close())
	require.NoError(t, first.Close(), "closing twice is fine")
	conn := connect(t, first.Addr())
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.Error(t, exportLog(short, conn, "x"))

	start(t, Config{Addr: first.Addr()})
	require.NoError(t, exportLog(t.Context(), conn, "x"))
}

func TestCloseWaitsForTheHandler(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	done := false
	s := start(t, Config{OnLogs: func(plog.Logs) error {
		close(entered)
		<-leave
		done = true
		return nil
	}})
	conn := connect(t, s.Addr())
	answered := make(chan error, 1)
	go func() { answered <- exportLog(t.Context(), conn, "x") }()
	<-entered
	time.AfterFunc(50*time.Millisecond, func() { close(leave) })
	require.NoError(t, s.Close())
	assert.True(t, done)
	<-answered
}

func TestStartNamesATakenAddress(t *testing.T) {
	s := start(t, Config{})
	_, err := Start(Config{Addr: s.Addr()})
	require.ErrorContains(t, err, s.Addr())
}
