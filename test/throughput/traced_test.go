// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && amd64

package throughput

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
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

// observed is one way to look at etcd's requests; begin gives what ends it, and price
// is that of its traps.
type observed struct {
	name  string
	begin func(b *testing.B, s *server) (end func())
	price func(prices) float64
}

var observers = []observed{
	{"untraced", nothing, nil},
	{"untraced_again", nothing, nil},             // what the two differ by is noise
	{"empty_trap", emptyTrap, prices.ofEmulated}, // the floor: the same place, an empty program
	{"metrics_only", traced(trace.ModeNone), prices.ofEmulated},
	{"writes", traced(trace.ModeWrites), prices.ofEmulated},
	{"all", traced(trace.ModeAll), prices.ofEmulated},
	{"entry_and_returns", classic, prices.ofStepped},
}

func nothing(*testing.B, *server) func() { return func() {} }

// traced runs the road of the receiver in this process.
func traced(mode trace.Mode) func(*testing.B, *server) func() {
	return func(b *testing.B, s *server) func() {
		settings := trace.Settings{
			Mode: mode, SlowRequest: time.Second, Sample: 1, RingBytes: 8 << 20, Rescan: time.Minute, Interval: time.Second, PIDs: []int{s.PID()},
		}
		lost := func(stage string, n int64) { b.Logf("%s: %d records lost at %s", mode, n, stage) }
		return follow(b, s, settings, func(plog.Logs) {}, lost)
	}
}

// follow traces a server until the end, which waits for what was read.
func follow(b *testing.B, s *server, settings trace.Settings, logs func(plog.Logs), lost func(stage string, n int64)) (end func()) {
	ready := make(chan error, 1)
	t, err := newTracer(s.ClientURL, settings, logs, lost, ready)
	if err != nil {
		b.Fatal(err)
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
		if err := t.Cluster.Close(); err != nil {
			b.Error(err)
		}
	}
}

// newTracer is the road of the receiver to the etcd at url, which is ready when it says
// so.
func newTracer(url string, settings trace.Settings, logs func(plog.Logs), lost func(stage string, n int64), ready chan<- error) (*trace.Tracer, error) {
	endpoint, err := etcdclient.ParseEndpoint(url)
	if err != nil {
		return nil, err
	}
	return &trace.Tracer{
		Settings: settings, Logger: zap.NewNop(),
		Cluster:  etcdclient.NewCluster(etcdclient.Settings{Endpoints: []etcdclient.Endpoint{endpoint}, Timeout: 5 * time.Second}, false),
		Format:   &logrecord.Format{Events: metadata.DefaultEventsConfig(), Body: true},
		Resource: &resource.Builder{Attributes: metadata.DefaultResourceAttributesConfig()},
		Logs: func(_ context.Context, l plog.Logs) error {
			logs(l)
			return nil
		},
		Metrics: func(context.Context, pmetric.Metrics) {},
		Lost:    lost,
		Missed:  func(int64) {},
		Report: func(_ int, err error) {
			select {
			case ready <- err:
			default:
			}
		},
	}, nil
}

// classic is how functions are timed that are not written in Go: an empty program
// at the first instruction and one at each return, here of Range and Put.
func classic(b *testing.B, s *server) func() {
	return emptyPrograms(b, s.PID(), func(binary *gobinary.Binary, code io.ReaderAt) []uint64 { return entriesAndReturns(b, binary, code) })
}

func emptyTrap(b *testing.B, s *server) func() {
	return emptyPrograms(b, s.PID(), func(binary *gobinary.Binary, _ io.ReaderAt) []uint64 {
		functions, err := binary.Functions(func(name []byte) bool { return strings.HasSuffix(string(name), "/v3rpc.logUnaryRequestStats") })
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

func emptyPrograms(b *testing.B, pid int, find func(*gobinary.Binary, io.ReaderAt) []uint64) func() {
	path := fmt.Sprintf("/proc/%d/exe", pid)
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
	l, err := executable.UprobeMulti(nil, program, &link.UprobeMultiOptions{Addresses: find(binary, file), PID: uint32(pid)})
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
	functions, err := binary.Functions(func(name []byte) bool {
		return strings.HasSuffix(string(name), "/etcdserver.(*EtcdServer).Range") || strings.HasSuffix(string(name), "/etcdserver.(*EtcdServer).Put")
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
type requestCost struct{ cpu, rate, made float64 }

func (c requestCost) used() float64      { return c.cpu }
func (c requestCost) perSecond() float64 { return c.rate }

// underLoad lets clients make requests for a while.
func underLoad(b *testing.B, s *server, clients int, d time.Duration, request func(context.Context, int) error) requestCost {
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
	time.Sleep(d)
	stop.Store(true)
	group.Wait()
	n := float64(made.Load())
	return requestCost{float64((cpuTime(b, s.PID()) - before).Nanoseconds()) / 1000 / n, n / time.Since(began).Seconds(), n}
}

// tracedCosts are those of all observers under one load, round by round.
type tracedCosts struct {
	of    by[requestCost]
	work  by[work] // for a request
	price []prices
}

const tracedSlot = 3 * time.Second

func measureTraced(b *testing.B, s *server, clients int, request func(context.Context, int) error) tracedCosts {
	costs := tracedCosts{of: by[requestCost]{}, work: by[work]{}}
	for round := range *rounds {
		costs.price = append(costs.price, pricesHere(b))
		for _, o := range turns(round, observers) {
			end := o.begin(b, s)
			costs.of[o.name] = append(costs.of[o.name], underLoad(b, s, clients, tracedSlot, request))
			var made float64
			w := workIn(b, s.PID(), func() { made = underLoad(b, s, clients, tracedSlot/6, request).made })
			costs.work[o.name] = append(costs.work[o.name], work{w.hits / made, w.runs / made})
			end()
		}
	}
	return costs
}

// more is what requests cost more than untraced ones of the same round, of which
// there are two.
func (c tracedCosts) more(o observed) []float64 {
	return c.beside(o, requestCost.used, func(with, without float64) float64 { return with - without })
}

func (c tracedCosts) throughput(o observed) []float64 {
	return c.beside(o, requestCost.perSecond, func(with, without float64) float64 { return with / without })
}

func (c tracedCosts) beside(o observed, number func(requestCost) float64, compare func(with, without float64) float64) (all []float64) {
	first, second := c.of.of("untraced", number), c.of.of("untraced_again", number)
	for i, with := range c.of.of(o.name, number) {
		all = append(all, compare(with, (first[i]+second[i])/2))
	}
	return all
}

// byParts is what it must cost: its traps at the price of this machine, and the time
// in its programs.
func (c tracedCosts) byParts(o observed) (traps, programs float64) {
	if o.price == nil {
		return 0, 0
	}
	var price []float64
	for _, p := range c.price {
		price = append(price, o.price(p))
	}
	return median(c.work.of(o.name, work.count)) * median(price), median(c.work.of(o.name, work.running))
}

// BenchmarkTraced tells what etcd pays for being looked at: CPU for a request and
// throughput, beside the way functions are timed elsewhere. What is measured is the
// difference of large numbers on a machine that does other things; so the parts are
// measured too, one by one.
func BenchmarkTraced(b *testing.B) {
	if os.Getuid() != 0 {
		b.Skip("SKIPPED: eBPF needs root here")
	}
	s := startServer(b)
	s.puts(b, manyKeys)
	rows := [][]string{{"", "etcd CPU us/request", "more than untraced", "by parts", "= traps", "+ programs", "traps/request", "throughput, x untraced"}}
	var price []prices
	var ranges tracedCosts // of 64 clients
	for _, load := range []struct {
		name    string
		request func(context.Context, int) error
	}{
		{"put", s.onePut},
		{"range", func(ctx context.Context, nr int) error {
			_, err := s.client.Get(ctx, key(nr%manyKeys), clientv3.WithSerializable())
			return err
		}},
	} {
		for _, clients := range []int{1, 64} {
			costs := measureTraced(b, s, clients, load.request)
			price, ranges = append(price, costs.price...), costs
			for _, o := range observers {
				traps, programs := costs.byParts(o)
				rows = append(rows, []string{
					fmt.Sprintf("%s, %d clients: %s", load.name, clients, o.name),
					spread("%.1f", costs.of.of(o.name, requestCost.used)), spread("%+.1f", costs.more(o)),
					fmt.Sprintf("%.2f", traps+programs), fmt.Sprintf("%.2f", traps), fmt.Sprintf("%.2f", programs),
					fmt.Sprintf("%.2f", median(costs.work.of(o.name, work.count))), spread("%.2f", costs.throughput(o)),
				})
				b.ReportMetric(median(costs.more(o))*1000, fmt.Sprintf("%s_%d_%s_ns", load.name, clients, o.name))
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	here := by[prices]{"": price}
	printTable(fmt.Sprintf("What etcd pays for being traced: median [lowest-highest] of %d rounds of %s", *rounds, tracedSlot), rows,
		fmt.Sprintf("this machine, us: a system call (getppid) %s, an empty program at an emulated instruction %s, at a stepped one %s",
			spread("%.2f", here.of("", prices.ofCall)), spread("%.2f", here.of("", prices.ofEmulated)), spread("%.2f", here.of("", prices.ofStepped))),
		ranges.goals(),
	)
}

// goals holds ranges under mode writes, 64 clients, against what is promised.
func (c tracedCosts) goals() string {
	const most, cheaper, least = 1.5, 8, 0.98
	ours := observers[slices.IndexFunc(observers, func(o observed) bool { return o.name == "writes" })]
	rival := observers[slices.IndexFunc(observers, func(o observed) bool { return o.name == "entry_and_returns" })]
	traps, programs := c.byParts(ours)
	itsTraps, itsPrograms := c.byParts(rival)
	parts, rate := (itsTraps+itsPrograms)/(traps+programs), median(c.throughput(ours))
	return fmt.Sprintf("goals, a range under writes: <= %.1f us: by parts %.2f, %s (trap %.2f, program %.2f), measured %+.1f; "+
		"%dx cheaper than entry and returns: by parts %.1f, %s, measured %.1f; throughput >= %.2f: %.2f, %s",
		most, traps+programs, verdict(traps+programs <= most), traps, programs, median(c.more(ours)),
		cheaper, parts, verdict(parts >= cheaper), median(c.more(rival))/median(c.more(ours)), least, rate, verdict(rate >= least))
}
