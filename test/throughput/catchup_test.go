// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package throughput

import (
	"fmt"
	"testing"
	"time"
)

// putEvery is the pace of the writer.
const putEvery = 5 * time.Millisecond

// backlog is one of CatchUp, with how many puts of the writer are compared: as many
// as it makes while the slower contender catches up on a quiet machine.
type backlog struct {
	revisions, puts int
	prevKV          bool // the receiver's default; the floors were measured without
	large           bool
}

var backlogs = []backlog{
	{revisions: 10_000, puts: 600, prevKV: true},
	{revisions: 100_000, puts: 6_000, prevKV: true},
	{revisions: 100_000, puts: 6_000},
	{revisions: 300_000, puts: 50_000, prevKV: true, large: true},
}

// contenders of CatchUp.
func (l backlog) contenders() []contender {
	if l.prevKV {
		return []contender{ours, oneWatch}
	}
	return []contender{oursWithoutPrevious, oneWatchWithoutPrevious}
}

// caughtUp is what catching up cost.
type caughtUp struct {
	wall, etcdCPU time.Duration
	latencies
	idle latencies // of the same writer before
}

// BenchmarkCatchUp reads a backlog of single puts by segments (ours) and by one
// watcher, while somebody writes.
func BenchmarkCatchUp(b *testing.B) {
	for _, l := range backlogs {
		if l.large && !*large {
			continue
		}
		s := startServer(b)
		s.puts(b, l.revisions)
		costs := by[caughtUp]{}
		for round := range (*rounds + 1) / 2 {
			for _, c := range turns(round, l.contenders()) {
				costs[c.name] = append(costs[c.name], catchUp(b, s, c, l))
			}
		}
		l.table(b, costs)
	}
	b.ReportMetric(0, "ns/op")
}

// catchUp reads the newest revisions. What the writer adds meanwhile is read too,
// and not counted.
func catchUp(b *testing.B, s *server, c contender, l backlog) caughtUp {
	last := s.revision(b)
	w := startWriter(b, putEvery, s.onePut)
	defer w.stop()
	m := meter{etcd: s.PID()}
	idle := m.idle(b, time.Second)
	begun := w.written()

	n := newCounter(last-int64(l.revisions)+1, last, l.revisions)
	before := m.now(b)
	stop := c.run(b, s, n.first, n.consume)
	n.wait(b, 20*time.Minute)
	used := m.now(b).since(before, idle)
	for w.written() < begun+l.puts {
		time.Sleep(putEvery)
	}
	stop()
	return caughtUp{used.wall, used.etcdCPU, w.latencies(begun, begun+l.puts), w.latencies(0, begun)}
}

func (l backlog) table(b *testing.B, costs by[caughtUp]) {
	rows := [][]string{{"", "wall s", "events/s", "x ours", "etcd us/event", "writer p99 ms", "max", "since due: p50", "p99", "max"}}
	seconds := func(c caughtUp) float64 { return c.wall.Seconds() }
	one, many := l.contenders()[1].name, l.contenders()[0].name
	own := costs.of(many, seconds)
	for _, c := range l.contenders() {
		wall := costs.of(c.name, seconds)
		rows = append(rows, []string{
			c.name, spread("%.2f", wall), fmt.Sprintf("%.0f", float64(l.revisions)/median(wall)), ratio(wall, own),
			spread("%.1f", costs.of(c.name, func(c caughtUp) float64 { return float64(c.etcdCPU.Nanoseconds()) / 1000 / float64(l.revisions) })),
			spread("%.1f", costs.of(c.name, caughtUp.alone99)), spread("%.0f", costs.of(c.name, caughtUp.aloneLongest)),
			fmt.Sprintf("%.2f", median(costs.of(c.name, func(c caughtUp) float64 { return c.p50 }))),
			spread("%.1f", costs.of(c.name, caughtUp.due99)),
			spread("%.0f", costs.of(c.name, func(c caughtUp) float64 { return c.longest })),
		})
		b.ReportMetric(median(wall), fmt.Sprintf("%s_%dk_s", c.name, l.revisions/1000))
	}
	noWorse := func(of func(caughtUp) float64) string {
		return verdict(median(costs.of(many, of)) <= median(costs.of(one, of)))
	}
	goals := fmt.Sprintf("goals: p99 of a put no worse %s, since due %s", noWorse(caughtUp.alone99), noWorse(caughtUp.due99))
	if l.revisions == 100_000 {
		goals += "; >= 25x faster " + verdict(median(ratios(costs.of(one, seconds), own)) >= 25)
	}
	printTable(fmt.Sprintf("Catching up %d single puts, previous values %v, while one puts every %s (its next %d puts); median [lowest-highest] of %d rounds", l.revisions, l.prevKV, putEvery, l.puts, len(own)), rows,
		fmt.Sprintf("the writer without any watcher: p99 %.1f ms", median(costs.of(many, func(c caughtUp) float64 { return c.idle.p99Alone }))),
		"\"since due\" counts a stall for every put that it delays, not only for the one that was under way",
		"floor (measured before the receiver, with bare clients; without previous values): one watcher 10k 1 s, 100k 27 s, 83 us of etcd, writer p99 333 ms, max 696; 300k 248 s, 202 us; 100 segments 100k 1.06 s, 3.4 us, max 877 ms; 300k 7.5 s, 9.3 us",
		goals,
	)
}

func (c caughtUp) alone99() float64      { return c.p99Alone }
func (c caughtUp) aloneLongest() float64 { return c.longestAlone }
func (c caughtUp) due99() float64        { return c.p99 }
