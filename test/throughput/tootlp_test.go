// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package throughput

import (
	"context"
	"fmt"
	"runtime/pprof"
	"testing"
	"time"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// exported is one way to a backend in another process.
type exported struct {
	name string
	// part is how much of the backlog it reads: one by one is dear enough for less.
	part    int
	measure func(b *testing.B, s *server, to *sink, first int64, events int) usage
}

var exporters = []exported{
	{"ours", 1, oursExported("none")},
	{"ours_gzip", 1, oursExported("gzip")},
	{"clientv3_batched", 1, rivalExported(batchRecords)},
	{"clientv3_one_by_one", 10, rivalExported(1)},
	{"ready_records", 1, readyExported},
}

// oursExported measures the process of the distribution. etcd is frozen while the
// collector starts: that is not the cost of an event.
func oursExported(compression string) func(*testing.B, *server, *sink, int64, int) usage {
	return func(b *testing.B, s *server, to *sink, first int64, events int) usage {
		if err := s.Pause(); err != nil {
			b.Fatal(err)
		}
		p := startCollector(b, s, to, from(first, nil), compression)
		p.settle(b)
		m := meter{pid: p.PID(), etcd: s.PID()}
		idle := m.idle(b, 500*time.Millisecond)
		profiled := p.profiler.take(b)
		before := m.now(b)
		if err := s.Resume(); err != nil {
			b.Fatal(err)
		}
		to.wait(b, events, patience)
		used := m.now(b).since(before, idle)
		profiled()
		if err := p.Stop(20 * time.Second); err != nil {
			b.Error(err)
		}
		return used
	}
}

// rivalExported measures this process.
func rivalExported(batch int) func(*testing.B, *server, *sink, int64, int) usage {
	return func(b *testing.B, s *server, to *sink, first int64, events int) usage {
		export, hangUp := otlpClient(b, to)
		defer hangUp()
		m := meter{etcd: s.PID()}
		idle := m.idle(b, 300*time.Millisecond)
		before := m.now(b)
		var stop func() error
		pprof.Do(context.Background(), pprof.Labels("contender", fmt.Sprintf("otlp_%d", batch)), func(ctx context.Context) {
			stop = startRival(ctx, &rival{client: s.client, batch: batch, prevKV: true, consume: export}, first)
		})
		to.wait(b, events, patience)
		used := m.now(b).since(before, idle)
		if err := stop(); err != nil {
			b.Error(err)
		}
		return used
	}
}

// readyExported is the floor of any receiver: our records, made before, are only
// exported.
func readyExported(b *testing.B, s *server, to *sink, first int64, events int) usage {
	var ready []plog.Logs
	made, all := 0, make(chan struct{})
	stop := startOurs(context.Background(), b, s, from(first, nil), func(_ context.Context, logs plog.Logs) error {
		ready = append(ready, logs)
		if made += logs.LogRecordCount(); made == events {
			close(all)
		}
		return nil
	})
	select {
	case <-all:
	case <-time.After(patience):
		b.Fatalf("%s are over, the records are not made", patience)
	}
	stop()
	export, hangUp := otlpClient(b, to)
	defer hangUp()
	m := meter{etcd: s.PID()}
	idle := m.idle(b, 300*time.Millisecond)
	before := m.now(b)
	for _, logs := range ready {
		if err := export(context.Background(), logs); err != nil {
			b.Fatal(err)
		}
	}
	to.wait(b, events, patience)
	return m.now(b).since(before, idle)
}

// otlpClient is a bare OTLP client of this process.
func otlpClient(b *testing.B, to *sink) (export consumer.ConsumeLogsFunc, hangUp func()) {
	conn, err := grpc.NewClient(to.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	client := plogotlp.NewGRPCClient(conn)
	return func(ctx context.Context, logs plog.Logs) error {
		_, err := client.Export(ctx, plogotlp.NewExportRequestFromLogs(logs))
		return err
	}, func() { _ = conn.Close() }
}

// BenchmarkToOTLP tells what a change costs from the wire until a backend in
// another process has it: the whole distribution with its OTLP exporter, beside
// clientv3 and a bare OTLP client.
func BenchmarkToOTLP(b *testing.B) {
	needed(b, "OTELCOL_ETCD", "")
	s := startServer(b)
	_, last, events := backlogWithPrevious(b, s)
	to := startSink(b)
	costs := by[perEvent]{}
	fault := faultCost(b)
	for round := range *rounds {
		for _, x := range turns(round, exporters) {
			to.reset(b)
			n := events / x.part
			used := x.measure(b, s, to, last-int64(n/txnPuts)+1, n)
			costs[x.name] = append(costs[x.name], used.perEvent(n, fault))
		}
	}
	rows := [][]string{{"", "CPU us/event", "x ours", "less faults", "x ours", "faults/event", "events/s"}}
	own, ownLess := costs.of("ours", perEvent.used), costs.of("ours", perEvent.onOwnMachine)
	for _, x := range exporters {
		cpu, less := costs.of(x.name, perEvent.used), costs.of(x.name, perEvent.onOwnMachine)
		rows = append(rows, []string{
			x.name, spread("%.2f", cpu), ratio(cpu, own), spread("%.2f", less), ratio(less, ownLess),
			fmt.Sprintf("%.3f", median(costs.of(x.name, perEvent.touched))),
			fmt.Sprintf("%.0f", median(costs.of(x.name, perEvent.perSecond))),
		})
		b.ReportMetric(median(cpu)*1000, x.name+"_ns/event")
	}
	b.ReportMetric(0, "ns/op")
	batched, single := median(ratios(costs.of("clientv3_batched", perEvent.used), own)), median(ratios(costs.of("clientv3_one_by_one", perEvent.used), own))
	printTable(fmt.Sprintf("From the wire to an OTLP backend: %d events (one by one: a tenth), median [lowest-highest] of %d rounds", events, *rounds), rows,
		faultNote(fault),
		"floor (measured before the receiver, with bare clients; no previous values): bytes straight to plog 1.18 with 5 attributes, clientv3 batched 2.19 with 12, one by one 63-83",
		fmt.Sprintf("goals: <= 2.0 us %s, less faults %s; 1.3x cheaper than batched %s; 30x than one by one %s", verdict(median(own) <= 2), verdict(median(ownLess) <= 2), verdict(batched >= 1.3), verdict(single >= 30)),
	)
}
