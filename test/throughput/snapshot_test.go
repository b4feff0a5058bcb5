// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package throughput

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.opentelemetry.io/collector/pdata/plog"
)

// told is what reading all keys cost.
type told struct {
	usage
	peak     float64 // MiB above what the process had
	requests float64
}

const rangeRequests = `grpc_server_handled_total{grpc_code="OK",grpc_method="Range",grpc_service="etcdserverpb.KV",grpc_type="unary"}`

// BenchmarkSnapshot reads every existing key: the receiver with initial_snapshot,
// and a reader that pages to the end of the key space.
func BenchmarkSnapshot(b *testing.B) {
	rows := [][]string{{"keys", "", "wall s", "CPU us/key", "etcd CPU s", "etcd us/key", "requests", "peak growth MiB"}}
	perKey := map[int]float64{}
	for _, n := range []int{*keys / 10, *keys} {
		s := startServer(b)
		s.transactions(b, n/txnPuts)
		compact(b, s)
		n -= n % txnPuts
		costs := by[told]{}
		for round := range (*rounds + 1) / 2 {
			readers := []string{"ours", "open_ended_pages"}
			if n > *naiveKeys {
				readers = readers[:1]
			}
			for _, name := range turns(round, readers) {
				read := snapshotOurs
				if name != "ours" {
					read = snapshotOpenEnded
				}
				costs[name] = append(costs[name], measureSnapshot(b, s, n, read))
			}
		}
		etcd := func(t told) float64 { return t.etcdCPU.Seconds() }
		for _, name := range []string{"ours", "open_ended_pages"} {
			if len(costs[name]) == 0 {
				continue
			}
			rows = append(rows, []string{
				fmt.Sprint(n), name, spread("%.2f", costs.of(name, func(t told) float64 { return t.wall.Seconds() })),
				spread("%.2f", costs.of(name, func(t told) float64 { return float64(t.cpu.Nanoseconds()) / 1000 / float64(n) })),
				spread("%.2f", costs.of(name, etcd)),
				spread("%.1f", costs.of(name, func(t told) float64 { return 1e6 * t.etcdCPU.Seconds() / float64(n) })),
				fmt.Sprintf("%.0f", median(costs.of(name, func(t told) float64 { return t.requests }))),
				spread("%.0f", costs.of(name, func(t told) float64 { return t.peak })),
			})
		}
		perKey[n] = median(costs.of("ours", etcd)) / float64(n)
		b.ReportMetric(1e6*perKey[n], fmt.Sprintf("etcd_us/key_of_%dk", n/1000))
	}
	b.ReportMetric(0, "ns/op")
	growth := perKey[*keys-*keys%txnPuts] / perKey[*keys/10-*keys/10%txnPuts]
	printTable(fmt.Sprintf("Existing keys of 30 bytes with values of 100; median [lowest-highest] of %d rounds", (*rounds+1)/2), rows,
		fmt.Sprintf("ours: a key among ten times as many keys costs etcd %.2f times as much; quadratic would be 10", growth),
		"floor (measured before the receiver, with bare clients; a million keys with values): pages of 1,000 bounded per prefix 5.9 s of etcd, open-ended 130 s, one request 3.4 s",
		"goal: no quadratic cost "+verdict(growth < 2),
	)
}

// compact leaves one revision of each key, and waits for the end of it.
func compact(b *testing.B, s *server) {
	b.Helper()
	if _, err := s.client.Compact(context.Background(), s.revision(b), clientv3.WithCompactPhysical()); err != nil {
		b.Fatal(err)
	}
}

func measureSnapshot(b *testing.B, s *server, n int, read func(*testing.B, *server, int)) told {
	m := meter{etcd: s.PID()}
	idle := m.idle(b, time.Second)
	debug.FreeOSMemory()
	start := memory(b, 0, "VmRSS")
	var peak atomic.Uint64 // KiB
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { // ends with ctx
		defer close(ended)
		for ctx.Err() == nil {
			peak.Store(max(peak.Load(), uint64(1024*memory(b, 0, "VmRSS"))))
			time.Sleep(50 * time.Millisecond)
		}
	}()
	requests := s.metrics(b, rangeRequests)[0]
	before := m.now(b)
	read(b, s, n)
	used := m.now(b).since(before, idle)
	requests = s.metrics(b, rangeRequests)[0] - requests
	cancel()
	<-ended
	return told{used, float64(peak.Load())/1024 - start, requests}
}

// snapshotOurs returns when the record came that ends the existing keys.
func snapshotOurs(b *testing.B, s *server, n int) {
	got := 0
	done := make(chan struct{})
	stop := startOurs(context.Background(), b, s, map[string]any{"initial_snapshot": true}, func(_ context.Context, logs plog.Logs) error {
		records := logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
		if records.At(0).EventName() == "etcd.watch.snapshot" {
			close(done)
			return nil
		}
		got += records.Len()
		return nil
	})
	select {
	case <-done:
	case <-time.After(10 * time.Minute):
		b.Fatal("the existing keys do not end")
	}
	stop()
	if got != n {
		b.Fatalf("%d keys were told of %d", got, n)
	}
}

// snapshotOpenEnded pages through all keys by asking for what follows the last one,
// and makes records of them, in batches of a page.
func snapshotOpenEnded(b *testing.B, s *server, n int) {
	got, first, revision := 0, "\x00", int64(0)
	reader := &rival{}
	for {
		page, err := s.client.Get(context.Background(), first, clientv3.WithFromKey(), clientv3.WithLimit(1000), clientv3.WithRev(revision))
		if err != nil {
			b.Fatal(err)
		}
		revision, reader.cluster = page.Header.Revision, page.Header.ClusterId
		var events []*clientv3.Event
		for _, kv := range page.Kvs {
			events = append(events, &clientv3.Event{Kv: kv})
		}
		got += reader.logs(events).LogRecordCount()
		if !page.More {
			break
		}
		first = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
	if got != n {
		b.Fatalf("%d keys were read of %d", got, n)
	}
}
