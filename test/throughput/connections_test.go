// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && amd64

package throughput

import (
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/receiver/trace"
)

// BenchmarkOthersConnections tells what a host's other programs pay while connections
// of etcd are followed: they dial, send a byte each way and close, on loopback, where
// both ends pay.
func BenchmarkOthersConnections(b *testing.B) {
	if os.Getuid() != 0 {
		b.Skip("SKIPPED: eBPF needs root here")
	}
	s := startServer(b)
	took := by[float64]{}
	kinds := []struct {
		name string
		on   bool
	}{{"not followed", false}, {"not followed, again", false}, {"followed", true}}
	for round := range *rounds {
		for _, k := range turns(round, kinds) {
			end := func() {}
			if k.on {
				end = follow(b, s, trace.Settings{
					Mode: trace.ModeNone, Network: true, SlowRequest: time.Hour, RingBytes: 1 << 20, Rescan: time.Minute, Interval: time.Minute, PIDs: []int{s.PID()},
				}, func(plog.Logs) {}, func(string, int64) {})
			}
			took[k.name] = append(took[k.name], micros(perConnection(b)))
			end()
		}
	}
	number := func(us float64) float64 { return us }
	rows := [][]string{{"connections of etcd are", "us a connection of another program", "x not followed"}}
	for _, k := range kinds {
		rows = append(rows, []string{k.name, spread("%.1f", took.of(k.name, number)), ratio(took.of(k.name, number), took.of(kinds[0].name, number))})
	}
	b.ReportMetric(0, "ns/op")
	printTable(fmt.Sprintf("What other programs pay for it: median [lowest-highest] of %d rounds of %d connections", *rounds, othersConnections), rows)
}

const othersConnections = 10_000

func perConnection(b *testing.B) time.Duration {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		var buffer [1]byte
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			if _, err := c.Read(buffer[:]); err == nil {
				_, _ = c.Write(buffer[:])
			}
			_ = c.Close()
		}
	}()
	defer func() { _ = listener.Close() }()
	var buffer [1]byte
	began := time.Now()
	for range othersConnections {
		c, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Write(buffer[:]); err != nil {
			b.Fatal(err)
		}
		_, _ = c.Read(buffer[:])
		_ = c.(*net.TCPConn).SetLinger(0) // no port waits after its end
		_ = c.Close()
	}
	return time.Since(began) / othersConnections
}
