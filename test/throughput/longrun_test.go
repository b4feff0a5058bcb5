// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package throughput

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/otlpsink"
)

// BenchmarkLongRun writes -changes changes as fast as the collector takes them,
// compacts behind it, and checks each one: order, wholeness, key, size, version.
func BenchmarkLongRun(b *testing.B) {
	const (
		writers = 8
		ahead   = 2000 // revisions that the writers may be ahead of what arrived
	)
	transactions := *changes / txnPuts
	s := startServer(b)
	first := s.revision(b) + 1
	seen := &ledger{next: first, transactions: make([]uint64, transactions)}
	to, err := otlpsink.Start(otlpsink.Config{OnLogs: seen.onLogs})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = to.Close() })
	c := startCollector(b, s, &sink{addr: to.Addr()}, from(first, nil), "none")
	c.settle(b)

	wrote := make([]uint64, transactions) // what each revision must be
	began, began0 := time.Now(), cpuTime(b, c.PID())
	var group sync.WaitGroup
	var number atomic.Int64
	for writer := range writers {
		group.Go(func() {
			for sequence := 1; number.Add(1) <= int64(transactions); sequence++ {
				for seen.arrived.Load() < number.Load()-ahead {
					time.Sleep(time.Millisecond)
				}
				ops, sum := longTransaction(writer, sequence)
				answer, err := s.client.Txn(context.Background()).Then(ops...).Commit()
				if err != nil {
					b.Error(err)
					return
				}
				wrote[answer.Header.Revision-first] = sum
			}
		})
	}
	written := make(chan struct{})
	go func() { group.Wait(); close(written) }()
	var rss []float64
	for tick := time.NewTicker(time.Second); seen.arrived.Load() < int64(transactions); <-tick.C {
		rss = append(rss, memory(b, c.PID(), "VmRSS"))
		if done := first + seen.arrived.Load() - 1; len(rss)%5 == 0 && done > first {
			if _, err := s.client.Compact(context.Background(), done); err != nil {
				b.Log(err)
			}
		}
		if b.Failed() || seen.failure() != "" {
			b.Fatal(seen.failure())
		}
	}
	<-written
	took, used := time.Since(began), cpuTime(b, c.PID())-began0
	wrong := 0
	for i := range wrote {
		if wrote[i] != seen.transactions[i] {
			wrong++
		}
	}
	if wrong > 0 || seen.failure() != "" {
		b.Fatalf("%d of %d revisions are not what was written; %s", wrong, transactions, seen.failure())
	}
	quarter := len(rss) / 4
	printTable(fmt.Sprintf("Long run: %d changes in %d revisions, each checked: order, wholeness, key, size, version; 0 wrong", transactions*txnPuts, transactions),
		[][]string{
			{"s", "changes/s", "collector CPU us/change", "RSS MiB, first quarter", "last quarter", "peak"},
			{
				fmt.Sprintf("%.0f", took.Seconds()), fmt.Sprintf("%.0f", float64(transactions*txnPuts)/took.Seconds()),
				fmt.Sprintf("%.2f", float64(used.Microseconds())/float64(transactions*txnPuts)),
				spread("%.0f", rss[quarter/2:quarter+1]), spread("%.0f", rss[len(rss)-quarter-1:]), fmt.Sprintf("%.0f", slices.Max(rss)),
			},
		})
	b.ReportMetric(0, "ns/op")
}

// longTransaction is the n-th transaction of a writer: always the same keys, with
// values whose length tells which one it is. The sum is that of its records.
func longTransaction(writer, sequence int) (ops []clientv3.Op, sum uint64) {
	var d xxhash.Digest
	d.Reset()
	for i := range txnPuts {
		key, size := fmt.Sprintf("/long/%d/%02d", writer, i), 50+sequence%50
		ops = append(ops, clientv3.OpPut(key, value[:size]))
		fmt.Fprintf(&d, "%d %s %d %d\n", i, key, size, sequence)
	}
	return ops, d.Sum64()
}

// ledger takes records in. A revision is one transaction.
type ledger struct {
	next         int64 // revision
	digest       xxhash.Digest
	count        int
	transactions []uint64
	arrived      atomic.Int64 // whole revisions
	problem      atomic.Pointer[string]
}

func (l *ledger) failure() string {
	if p := l.problem.Load(); p != nil {
		return *p
	}
	return ""
}

func (l *ledger) onLogs(logs plog.Logs) error {
	for _, rl := range logs.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				l.take(lr)
			}
		}
	}
	return nil
}

func (l *ledger) take(lr plog.LogRecord) {
	number := func(name string) int64 {
		v, _ := lr.Attributes().Get(name)
		return v.Int()
	}
	text, _ := lr.Attributes().Get("etcd.key")
	revision, sub := number("etcd.kv.mod_revision"), number("etcd.kv.sub_index")
	if lr.EventName() != "etcd.kv.put" {
		if lr.EventName() == "etcd.watch.gap" {
			l.fail("a gap: " + lr.Body().Str())
		}
		return
	}
	if revision != l.next || sub != int64(l.count) {
		l.fail(fmt.Sprintf("revision %d, change %d came where %d, change %d was due", revision, sub, l.next, l.count))
		return
	}
	if l.count == 0 {
		l.digest.Reset()
	}
	fmt.Fprintf(&l.digest, "%d %s %d %d\n", sub, text.Str(), number("etcd.kv.value_size"), number("etcd.kv.version"))
	if l.count++; l.count == txnPuts {
		l.transactions[l.arrived.Load()] = l.digest.Sum64()
		l.next, l.count = l.next+1, 0
		l.arrived.Add(1)
	}
}

func (l *ledger) fail(why string) { l.problem.CompareAndSwap(nil, &why) }
