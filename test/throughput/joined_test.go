// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package throughput

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// signer is one way to watch an etcd in which clients write.
type signer struct {
	name    string
	ebpf    string // mode
	authors bool
}

// signers differ from the one before by the probes in etcd, and by the join: two more
// traps for a write, what the ring brings of it, the window, and the author on each
// record. No request becomes a record of its own.
var signers = []signer{
	{"untraced", "disabled", false},
	{"traced", "required", false},
	{"joined", "required", true},
}

// start runs the distribution until it watches, and traces if it should.
func (g signer) start(b *testing.B, s *server, to *sink) *collector {
	b.Helper()
	receiver := receiverConfig(s, map[string]any{"authors": g.authors})
	receiver["ebpf"] = map[string]any{
		"mode": g.ebpf, "events": map[string]any{"mode": "none"}, "disk": map[string]any{"enabled": false},
		"processes": map[string]any{"pids": []int{s.PID()}},
	}
	// A record of authors that are missing would be counted as a change.
	receiver["events"] = map[string]any{"etcd.watch.gap": map[string]any{"enabled": false}}
	c := startCollectorOf(b, receiver, to, "none")
	says := []string{"watching"}
	if g.ebpf == "required" {
		says = append(says, "requests of etcd are traced")
	}
	for _, line := range says {
		for end := time.Now().Add(20 * time.Second); !strings.Contains(c.Tail(), line); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				b.Fatalf("%s: the collector does not say %q; its last lines:\n%s", g.name, line, c.Tail())
			}
		}
	}
	return c
}

// signedCost is what the changes of one round cost, and which part had an author.
type signedCost struct {
	perEvent
	etcd, signed float64
}

func (c signedCost) ofEtcd() float64 { return c.etcd }
func (c signedCost) part() float64   { return c.signed }

func (g signer) measure(b *testing.B, s *server, to *sink, changes int, write func()) signedCost {
	c := g.start(b, s, to)
	m := meter{pid: c.PID(), etcd: s.PID()}
	idle := m.idle(b, 500*time.Millisecond)
	to.reset(b)
	to.ask(b, "signed")
	before := m.now(b)
	write()
	to.wait(b, changes, patience)
	used := m.now(b).since(before, idle)
	signed := float64(to.ask(b, "signed")) / float64(changes)
	if err := c.Stop(20 * time.Second); err != nil {
		b.Error(err)
	}
	return signedCost{used.perEvent(changes, 0), float64(used.etcdCPU.Nanoseconds()) / 1000 / float64(changes), signed}
}

// BenchmarkJoined tells what it costs collector and etcd that changes tell who made
// them, while clients write as fast as they can.
func BenchmarkJoined(b *testing.B) {
	if os.Getuid() != 0 {
		b.Skip("SKIPPED: eBPF needs root here")
	}
	needed(b, "OTELCOL_ETCD", "")
	s := startServer(b)
	to := startSink(b)
	s.puts(b, manyKeys)
	for _, load := range []struct {
		name            string
		changes         int
		clients, number int
		request         func(context.Context, int) error
	}{
		{"single puts of 64 clients", 20_000, 64, 20_000, s.onePut},
		{"transactions of 100 puts, 16 clients", 100_000, 16, 1000, s.oneTransaction},
	} {
		costs := by[signedCost]{}
		for round := range *rounds {
			for _, g := range turns(round, signers) {
				costs[g.name] = append(costs[g.name], g.measure(b, s, to, load.changes, func() { s.parallel(b, load.clients, load.number, load.request) }))
			}
		}
		used, etcd, rate := signedCost.used, signedCost.ofEtcd, signedCost.perSecond
		rows := [][]string{{"", "collector CPU us/change", "x traced", "etcd CPU us/change", "x traced", "changes/s", "x traced", "with an author"}}
		for _, g := range signers {
			rows = append(rows, []string{
				g.name, spread("%.1f", costs.of(g.name, used)), ratio(costs.of(g.name, used), costs.of("traced", used)),
				spread("%.1f", costs.of(g.name, etcd)), ratio(costs.of(g.name, etcd), costs.of("traced", etcd)),
				spread("%.0f", costs.of(g.name, rate)), ratio(costs.of(g.name, rate), costs.of("traced", rate)),
				fmt.Sprintf("%.4f", median(costs.of(g.name, signedCost.part))),
			})
		}
		printTable(fmt.Sprintf("Who made each change: %d changes, %s, median [lowest-highest] of %d rounds", load.changes, load.name, *rounds), rows)
		key := strings.Fields(load.name)[0]
		b.ReportMetric(median(costs.of("joined", used))*1000, key+"_joined_ns/change")
		b.ReportMetric(median(costs.of("traced", used))*1000, key+"_traced_ns/change")
	}
	b.ReportMetric(0, "ns/op")
}
