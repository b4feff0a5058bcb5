// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package throughput

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

const patience = 2 * time.Minute

// backlogWithPrevious writes the backlog of ToLogs and ToOTLP: each key was there
// before, so each change has a previous value.
func backlogWithPrevious(tb testing.TB, s *server) (first, last int64, events int) {
	tb.Helper()
	const keys = 10_000
	first = s.transactions(tb, keys/txnPuts) + 1
	for written := 0; written < *revisions; written += keys / txnPuts {
		last = s.transactions(tb, min(keys/txnPuts, *revisions-written))
	}
	return first, last, *revisions * txnPuts
}

// liveHeap is how much of the process lives beside the contender. A small one
// makes the garbage collector run all the time, and a reader that keeps 50 MB of
// changes in memory would look cheaper for it.
const liveHeap = 64 << 20

// BenchmarkToLogs tells what a change costs this process from the wire to plog:
// the default record, keys of 30 and values of 100 bytes, with previous values, in
// revisions of 100 changes.
func BenchmarkToLogs(b *testing.B) {
	s := startServer(b)
	first, last, events := backlogWithPrevious(b, s)
	for _, live := range []int{0, liveHeap} {
		ballast := make([]byte, live)
		for i := 0; i < live; i += 4096 {
			ballast[i] = 1
		}
		toLogs(b, s, first, last, events, live>>20)
		runtime.KeepAlive(ballast)
	}
	b.ReportMetric(0, "ns/op") // leaves it out
}

func toLogs(b *testing.B, s *server, first, last int64, events, live int) {
	costs, memory := by[perEvent]{}, by[usage]{}
	fault := faultCost(b)
	m := meter{etcd: s.PID()}
	for round := -1; round < *rounds; round++ { // the first one warms up
		for _, c := range turns(round, converted) {
			n := newCounter(first, last, events)
			idle := m.idle(b, 500*time.Millisecond)
			before := m.now(b)
			stop := c.run(b, s, first, n.consume)
			n.wait(b, patience)
			used := m.now(b).since(before, idle)
			stop()
			if round >= 0 {
				costs[c.name] = append(costs[c.name], used.perEvent(events, fault))
				memory[c.name] = append(memory[c.name], used)
			}
		}
	}
	own, ownLess := costs.of(ours.name, perEvent.used), costs.of(ours.name, perEvent.onOwnMachine)
	rows := [][]string{{"", "CPU us/event", "x ours", "less faults", "x ours", "faults/event", "etcd us/event", "allocs/event", "B/event", "events/s"}}
	for _, c := range converted {
		cpu, less := costs.of(c.name, perEvent.used), costs.of(c.name, perEvent.onOwnMachine)
		allocs := memory.of(c.name, func(u usage) float64 { return u.mallocs / float64(events) })
		rows = append(rows, []string{
			c.name, spread("%.2f", cpu), ratio(cpu, own), spread("%.2f", less), ratio(less, ownLess),
			fmt.Sprintf("%.3f", median(costs.of(c.name, perEvent.touched))),
			fmt.Sprintf("%.1f", median(memory.of(c.name, func(u usage) float64 { return float64(u.etcdCPU.Nanoseconds()) / float64(events) / 1000 }))),
			fmt.Sprintf("%.1f", median(allocs)),
			fmt.Sprintf("%.0f", median(memory.of(c.name, func(u usage) float64 { return u.bytes / float64(events) }))),
			fmt.Sprintf("%.0f", median(costs.of(c.name, perEvent.perSecond))),
		})
		b.ReportMetric(median(cpu)*1000, fmt.Sprintf("%s_heap%d_ns/event", c.name, live))
		b.ReportMetric(median(allocs), c.name+"_allocs/event")
	}
	printTable(fmt.Sprintf("From the wire to plog, beside a live heap of %d MiB: %d events in %d revisions, median [lowest-highest] of %d rounds", live, events, *revisions, *rounds), rows,
		faultNote(fault),
		"floor (measured before the receiver, with bare clients; no previous values unless said): receive and decode 0.50 raw, 0.91 with previous values; conversion of 5/12 attributes 0.41/0.76; bytes straight to plog 0.75 in all",
		fmt.Sprintf("goals: <= 1.0 us %s, less faults %s", verdict(median(own) <= 1), verdict(median(ownLess) <= 1)),
	)
}

func faultNote(fault time.Duration) string {
	return fmt.Sprintf("the first touch of a page costs %s here, 0.2 us on a machine of its own; \"less faults\" leaves that out", fault)
}
