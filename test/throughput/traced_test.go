// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && amd64

package throughput

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"
	"golang.org/x/arch/x86/x86asm"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
	"github.com/etcdreceiver/etcdreceiver/internal/gobinary"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
	"github.com/etcdreceiver/etcdreceiver/receiver/trace"
)

// observed is one way to look at etcd's requests; begin gives what ends it.
type observed struct {
	name  string
	begin func(b *testing.B, s *server) (end func())
}

var observers = []observed{
	{"untraced", func(*testing.B, *server) func() { return func() {} }},
	{"untraced_again", func(*testing.B, *server) func() { return func() {} }}, // what differs from the first is noise
	{"empty_trap", emptyTrap}, // the floor: the same place, an empty program
	{"metrics_only", traced(trace.ModeNone)},
	{"writes", traced(trace.ModeWrites)},
	{"all", traced(trace.ModeAll)},
	{"entry_and_returns", classic},
}

// traced runs the road of the receiver in this process.
func traced(mode trace.Mode) func(*testing.B, *server) func() {
	return func(b *testing.B, s *server) func() {
		endpoint, err := etcdclient.ParseEndpoint(s.ClientURL)
		if err != nil {
			b.Fatal(err)
		}
		cluster := etcdclient.NewCluster(etcdclient.Settings{Endpoints: []etcdclient.Endpoint{endpoint}, Timeout: 5 * time.Second}, false)
		ready := make(chan error, 1)
		t := &trace.Tracer{
			Settings: trace.Settings{
				Mode: mode, SlowRequest: time.Second, Sample: 1, RingBytes: 8 << 20, Rescan: time.Minute, Interval: time.Second, PIDs: []int{s.PID()},
			},
			Cluster: cluster, Logger: zap.NewNop(),
			Format:   &logrecord.Format{Events: metadata.DefaultEventsConfig(), Body: true},
			Resource: &resource.Builder{Attributes: metadata.DefaultResourceAttributesConfig()},
			Logs:     func(context.Context, plog.Logs) error { return nil },
			Metrics:  func(context.Context, pmetric.Metrics) {},
			Lost:     func(stage string, n int64) { b.Logf("%s: %d records lost at %s", mode, n, stage) },
			Report: func(_ int, err error) {
				select {
				case ready <- err:
				default:
				}
			},
		}
		if err := t.Open(); err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			t.Run(ctx)
		}()
		if err := <-ready; err != nil {
			b.Fatal(err)
		}
		return func() {
			cancel()
			<-done
			if err := cluster.Close(); err != nil {
				b.Error(err)
			}
		}
	}
}

// classic is how functions are timed that are not written in Go: an empty program
// at the first instruction and one at each return, here of Range and Put.
func classic(b *testing.B, s *server) func() {
	return emptyPrograms(b, s, func(binary *gobinary.Binary, code io.ReaderAt) []uint64 { return entriesAndReturns(b, binary, code) })
}

func emptyTrap(b *testing.B, s *server) func() {
	return emptyPrograms(b, s, func(binary *gobinary.Binary, _ io.ReaderAt) []uint64 {
		functions, err := binary.Functions(func(name string) bool { return strings.HasSuffix(name, "/v3rpc.logUnaryRequestStats") })
		if err != nil || len(functions) != 1 {
			b.Fatal(functions, err)
		}
		at, err := binary.StackCheck(functions[0])
		if err != nil {
			b.Fatal(err)
		}
		offset, err := binary.FileOffset(at)
		if err != nil {
			b.Fatal(err)
		}
		return []uint64{offset}
	})
}

func emptyPrograms(b *testing.B, s *server, find func(*gobinary.Binary, io.ReaderAt) []uint64) func() {
	path := fmt.Sprintf("/proc/%d/exe", s.PID())
	file, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	binary, err := gobinary.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.Kprobe, AttachType: ebpf.AttachTraceUprobeMulti, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		b.Fatal(err)
	}
	executable, err := link.OpenExecutable(path)
	if err != nil {
		b.Fatal(err)
	}
	l, err := executable.UprobeMulti(nil, program, &link.UprobeMultiOptions{Addresses: find(binary, file), PID: uint32(s.PID())})
	if err != nil {
		b.Fatal(err)
	}
	return func() {
		if err := l.Close(); err != nil {
			b.Error(err)
		}
		if err := program.Close(); err != nil {
			b.Error(err)
		}
	}
}

func entriesAndReturns(b *testing.B, binary *gobinary.Binary, file io.ReaderAt) []uint64 {
	functions, err := binary.Functions(func(name string) bool {
		return strings.HasSuffix(name, "/etcdserver.(*EtcdServer).Range") || strings.HasSuffix(name, "/etcdserver.(*EtcdServer).Put")
	})
	if err != nil || len(functions) != 2 {
		b.Fatal(functions, err)
	}
	var all []uint64
	for _, f := range functions {
		from, err := binary.FileOffset(f.Entry)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, from)
		code := make([]byte, f.End-f.Entry)
		if _, err := file.ReadAt(code, int64(from)); err != nil {
			b.Fatal(err)
		}
		for at := 0; at < len(code); {
			instruction, err := x86asm.Decode(code[at:], 64)
			if err != nil {
				break // padding
			}
			if instruction.Op == x86asm.RET {
				all = append(all, from+uint64(at))
			}
			at += instruction.Len
		}
	}
	return all
}

// requestCost is what one request costs etcd.
type requestCost struct{ cpu, rate float64 }

// underLoad lets clients make requests for a while.
func underLoad(b *testing.B, s *server, clients int, request func(context.Context, int) error) requestCost {
	var stop atomic.Bool
	var made atomic.Int64
	var group sync.WaitGroup
	before, began := cpuTime(b, s.PID()), time.Now()
	for c := range clients {
		group.Go(func() {
			for nr := c; !stop.Load(); nr += clients {
				if err := request(context.Background(), nr); err != nil {
					b.Error(err)
					return
				}
				made.Add(1)
			}
		})
	}
	time.Sleep(1500 * time.Millisecond)
	stop.Store(true)
	group.Wait()
	n := float64(made.Load())
	return requestCost{float64((cpuTime(b, s.PID()) - before).Nanoseconds()) / 1000 / n, n / time.Since(began).Seconds()}
}

// BenchmarkTraced tells what etcd pays for being looked at: CPU for a request and
// throughput, beside the way functions are timed elsewhere.
func BenchmarkTraced(b *testing.B) {
	if os.Getuid() != 0 {
		b.Skip("SKIPPED: eBPF needs root here")
	}
	s := startServer(b)
	s.puts(b, manyKeys)
	rows := [][]string{{"", "etcd CPU us/request", "more than untraced", "throughput, x untraced"}}
	for _, load := range []struct {
		name    string
		request func(context.Context, int) error
	}{
		{"range", func(ctx context.Context, nr int) error {
			_, err := s.client.Get(ctx, key(nr%manyKeys), clientv3.WithSerializable())
			return err
		}},
		{"put", s.onePut},
	} {
		for _, clients := range []int{1, 64} {
			costs := by[requestCost]{}
			for round := range *rounds {
				for _, o := range turns(round, observers) {
					end := o.begin(b, s)
					costs[o.name] = append(costs[o.name], underLoad(b, s, clients, load.request))
					end()
				}
			}
			cpu, rate := func(c requestCost) float64 { return c.cpu }, func(c requestCost) float64 { return c.rate }
			without := costs.of("untraced", cpu)
			for _, o := range observers {
				with := costs.of(o.name, cpu)
				var more []float64
				for i := range with {
					more = append(more, with[i]-without[i])
				}
				rows = append(rows, []string{
					fmt.Sprintf("%s, %d clients: %s", load.name, clients, o.name), spread("%.1f", with), spread("%+.1f", more),
					spread("%.2f", ratios(costs.of(o.name, rate), costs.of("untraced", rate))),
				})
				b.ReportMetric(median(more)*1000, fmt.Sprintf("%s_%d_%s_ns", load.name, clients, o.name))
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	printTable(fmt.Sprintf("What etcd pays for being traced: median [lowest-highest] of %d rounds of 1.5 s", *rounds), rows,
		"traps for a request that succeeds: metrics_only, writes, all: 1, emulated; entry_and_returns: 2, stepped",
		"goals: a range under writes <= 1.5 us, throughput >= 0.98 within noise, 8x cheaper than entry_and_returns",
	)
}
