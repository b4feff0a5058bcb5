// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && amd64

package throughput

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.opentelemetry.io/collector/pdata/plog"
	"golang.org/x/sys/unix"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/receiver/trace"
)

// BenchmarkRing tells how many records go through the ring: with the reader of the
// receiver, which comes every 10 ms, and copies of a record of a real request, which
// a program puts in without a trap, as no etcd could.
func BenchmarkRing(b *testing.B) {
	record := recordOf(b, getOne)
	rates := []int{100_000, 300_000, 1_000_000, asFastAsPossible}
	rows := [][]string{{"ring, MiB", "100,000/s: lost", "300,000/s: lost", "1,000,000/s: lost", "as fast as possible: read", "lost", "reader CPU us/record", "kernel us/record"}}
	for _, mib := range []int{1, 4, 8, 16} {
		through := by[passage]{}
		for range *rounds {
			for _, rate := range rates {
				name := fmt.Sprint(rate)
				through[name] = append(through[name], passThrough(b, mib<<20, record, rate))
			}
		}
		row := []string{fmt.Sprint(mib)}
		for _, rate := range rates[:3] {
			row = append(row, fmt.Sprintf("%s %% of %.2f M/s", spread("%.1f", through.of(fmt.Sprint(rate), passage.lostPercent)),
				median(through.of(fmt.Sprint(rate), passage.madePerSecond))/1e6))
		}
		fastest := fmt.Sprint(asFastAsPossible)
		rows = append(rows, append(row,
			fmt.Sprintf("%.2f M/s", median(through.of(fastest, passage.readPerSecond))/1e6),
			spread("%.1f", through.of(fastest, passage.lostPercent))+" %",
			spread("%.3f", through.of("1000000", passage.readerPerRecord)),
			spread("%.3f", through.of(fastest, passage.kernelPerRecord)),
		))
	}
	b.ReportMetric(0, "ns/op")
	printTable(fmt.Sprintf("Records of %d bytes through the ring, drained every 10 ms and decoded: median [lowest-highest] of %d rounds of 1 s", len(record), *rounds), rows,
		fmt.Sprintf("a ring takes %d records a MiB, so 10 ms of 1,000,000 a second need %.1f MiB", (1<<20)/(len(record)+8), 10_000*float64(len(record)+8)/(1<<20)))
}

// passage is what became of records in a second.
type passage struct{ made, read, lost, seconds, reader, kernel float64 }

func (p passage) madePerSecond() float64   { return p.made / p.seconds }
func (p passage) lostPercent() float64     { return 100 * p.lost / p.made }
func (p passage) readPerSecond() float64   { return p.read / p.seconds }
func (p passage) readerPerRecord() float64 { return p.reader / p.read }
func (p passage) kernelPerRecord() float64 { return p.kernel / p.made }

func passThrough(b *testing.B, size int, raw []byte, rate int) passage {
	programs, err := bpf.Load(bpf.Options{RingBytes: size})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = programs.Close() }()
	p := startProducer(b, ringOf(b, size), raw)
	defer p.close()

	var stop atomic.Bool
	var read int
	var reader time.Duration
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		before := threadTime(b)
		var record bpf.Record
		for last := false; !last; time.Sleep(10 * time.Millisecond) {
			last = stop.Load()
			err := programs.Drain(func(raw []byte) {
				if err := bpf.Decode(raw, &record); err != nil {
					b.Error(err)
				}
				read++
			})
			if err != nil {
				b.Error(err)
			}
		}
		reader = threadTime(b) - before
	}()
	took, kernel := p.produce(b, rate, time.Second)
	stop.Store(true)
	<-done
	made, lost := p.counted(b)
	if made != read+lost {
		b.Fatalf("%d records were made, %d read and %d lost", made, read, lost)
	}
	return passage{float64(made), float64(read), float64(lost), took.Seconds(), micros(reader), micros(kernel)}
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// BenchmarkRequestsToLogs tells what a request costs the collector from the ring to
// plog, and what tracing costs it at all. The records are copies of one of a real
// request, in the ring of a Tracer that traces this etcd.
func BenchmarkRequestsToLogs(b *testing.B) {
	get, put := recordOf(b, getOne), recordOf(b, putOne)
	s := startServer(b)
	type row struct {
		name string
		mode trace.Mode
		raw  []byte
		rate int
	}
	all := []row{
		{"none, whatever the requests", trace.ModeNone, get, 0},
		{"writes, 10,000 requests/s of which 1 in 10 writes", trace.ModeWrites, put, 1000},
		{"all, 10,000 requests/s", trace.ModeAll, get, 10_000},
		{"all, as fast as possible", trace.ModeAll, get, asFastAsPossible},
	}
	took := by[collected]{}
	for round := range *rounds {
		for _, r := range turns(round, all) {
			took[r.name] = append(took[r.name], collect(b, s, r.mode, r.raw, r.rate))
		}
	}
	rows := [][]string{{"mode", "log records/s", "% of a core", "CPU us/record", "lost"}}
	for _, r := range all {
		perRecord := "-"
		if r.rate != 0 {
			perRecord = spread("%.2f", took.of(r.name, collected.perRecord))
		}
		rows = append(rows, []string{
			r.name, fmt.Sprintf("%.0f", median(took.of(r.name, collected.perSecond))), spread("%.1f", took.of(r.name, collected.ofACore)), perRecord,
			spread("%.1f", took.of(r.name, collected.lostPercent)) + " %",
		})
	}
	b.ReportMetric(0, "ns/op")
	fastest := median(took.of(all[len(all)-1].name, collected.perRecord))
	printTable(fmt.Sprintf("What requests cost the collector, from the ring to plog: median [lowest-highest] of %d rounds of 2 s", *rounds), rows,
		fmt.Sprintf("so one core makes log records of %.0f requests a second", 1e6/fastest))
}

// collected is what the collector did in some seconds.
type collected struct{ made, records, lost, cpu, seconds float64 }

func (c collected) perSecond() float64   { return c.records / c.seconds }
func (c collected) ofACore() float64     { return c.cpu / c.seconds / 1e4 }
func (c collected) perRecord() float64   { return c.cpu / c.records }
func (c collected) lostPercent() float64 { return 100 * c.lost / max(c.made, 1) }

const collectFor = 2 * time.Second

func collect(b *testing.B, s *server, mode trace.Mode, raw []byte, rate int) collected {
	own := beside(b, raw, rate)
	var records, lost atomic.Int64
	settings := trace.Settings{
		Mode: mode, SlowRequest: time.Hour, Sample: 1, RingBytes: 8 << 20, Rescan: 5 * time.Second, Interval: 10 * time.Second, PIDs: []int{s.PID()},
	}
	end := follow(b, s, settings, func(logs plog.Logs) { records.Add(int64(logs.LogRecordCount())) }, func(_ string, n int64) { lost.Add(n) })
	binary.NativeEndian.PutUint32(raw[4:], uint32(s.PID())) // header.tgid
	p := startProducer(b, ringOf(b, settings.RingBytes), raw)
	defer p.close()
	took, used := p.use(b, rate)
	end()
	made, full := p.counted(b) // what the ring has no room for, the Tracer's own programs count
	return collected{float64(made), float64(records.Load()), float64(full) + float64(lost.Load()), micros(used - own), took.Seconds()}
}

// beside is what a producer costs this process without anybody who reads: Go's
// runtime looks after a thread that comes and goes.
func beside(b *testing.B, raw []byte, rate int) time.Duration {
	ring, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: 64 << 10})
	if err != nil {
		b.Fatal(err)
	}
	p := startProducer(b, ring, raw)
	defer p.close()
	_, used := p.use(b, rate)
	return used
}

// use produces, and tells what CPU this process took, less that of the producer's
// thread.
func (p *producer) use(b *testing.B, rate int) (took, used time.Duration) {
	runtime.GC()
	before, began := cpuTime(b, 0), time.Now()
	if rate == 0 {
		time.Sleep(collectFor)
		return time.Since(began), cpuTime(b, 0) - before
	}
	took, kernel := p.produce(b, rate, collectFor)
	time.Sleep(300 * time.Millisecond) // until the last of them have left
	return took, cpuTime(b, 0) - before - kernel
}

// asFastAsPossible is no rate.
const asFastAsPossible = -1

// producer is a program that puts a record into a ring.
type producer struct {
	program      *ebpf.Program
	ring, record *ebpf.Map
	counts       *ebpf.Map // how often it ran, and how often the ring was full
}

// startProducer takes the ring over.
func startProducer(b *testing.B, ring *ebpf.Map, raw []byte) *producer {
	p := &producer{ring: ring}
	array := func(size int) *ebpf.Map {
		m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: uint32(size), MaxEntries: 1})
		if err != nil {
			b.Fatal(err)
		}
		return m
	}
	p.record, p.counts = array(len(raw)), array(16)
	if err := p.record.Put(uint32(0), raw); err != nil {
		b.Fatal(err)
	}
	count := func(which uint32) asm.Instructions {
		return asm.Instructions{asm.LoadMapValue(asm.R1, p.counts.FD(), 8*which), asm.Mov.Imm(asm.R2, 1), asm.StoreXAdd(asm.R1, asm.R2, asm.DWord)}
	}
	const noWakeUp = 1
	instructions := append(count(0),
		asm.LoadMapPtr(asm.R1, p.ring.FD()),
		asm.LoadMapValue(asm.R2, p.record.FD(), 0),
		asm.Mov.Imm(asm.R3, int32(len(raw))),
		asm.Mov.Imm(asm.R4, noWakeUp),
		asm.FnRingbufOutput.Call(),
		asm.JEq.Imm(asm.R0, 0, "done"),
	)
	instructions = append(append(instructions, count(1)...), asm.Mov.Imm(asm.R0, 0).WithSymbol("done"), asm.Return())
	var err error
	p.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SocketFilter, License: "GPL", Instructions: instructions})
	if err != nil {
		b.Fatal(err)
	}
	return p
}

func (p *producer) close() {
	for _, c := range []interface{ Close() error }{p.program, p.ring, p.record, p.counts} {
		_ = c.Close()
	}
}

// counted is how many records were made, and how many of these the ring had no room for.
func (p *producer) counted(b *testing.B) (made, lost int) {
	var counts [2]uint64
	if err := p.counts.Lookup(uint32(0), &counts); err != nil {
		b.Fatal(err)
	}
	return int(counts[0]), int(counts[1])
}

// produce makes so many records a second, evenly: what it was kept from for longer
// than some milliseconds it does not make up for. A run that a signal interrupts is
// repeated, so what was made is counted by the program.
func (p *producer) produce(b *testing.B, rate int, length time.Duration) (took, cpu time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pause := time.Millisecond
	if rate <= 10_000 {
		pause = 5 * time.Millisecond
	}
	packet := make([]byte, 14)
	before, began := threadTime(b), time.Now()
	var due float64
	for last := began; took < length; took = time.Since(began) {
		n := 10_000
		if rate != asFastAsPossible {
			// Not time.Sleep: what the runtime does for it is not seen in this thread's time.
			if err := unix.Nanosleep(&unix.Timespec{Nsec: pause.Nanoseconds()}, nil); err != nil && err != unix.EINTR {
				b.Fatal(err)
			}
			now := time.Now()
			due += float64(rate) * min(now.Sub(last), 3*pause).Seconds()
			last, n = now, int(due)
			due -= float64(n)
		}
		if n == 0 {
			continue
		}
		if _, err := p.program.Run(&ebpf.RunOptions{Data: packet, Repeat: uint32(n)}); err != nil {
			b.Fatal(err)
		}
	}
	return took, threadTime(b) - before
}

// ringOf is the ring of this size that this process has open.
func ringOf(b *testing.B, size int) *ebpf.Map {
	files, err := os.ReadDir("/proc/self/fdinfo")
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range files {
		is := map[string]int{}
		text, _ := os.ReadFile("/proc/self/fdinfo/" + f.Name()) // it may be closed
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(line, ":")
			is[name], _ = strconv.Atoi(strings.TrimSpace(value))
		}
		if is["map_type"] != int(ebpf.RingBuf) || is["max_entries"] != size {
			continue
		}
		m, err := ebpf.NewMapFromID(ebpf.MapID(is["map_id"]))
		if err != nil {
			b.Fatal(err)
		}
		return m
	}
	b.Fatalf("there is no ring of %d bytes", size)
	return nil
}

func getOne(c *clientv3.Client) error {
	_, err := c.Get(context.Background(), key(1), clientv3.WithSerializable())
	return err
}

func putOne(c *clientv3.Client) error {
	_, err := c.Put(context.Background(), key(1), "value")
	return err
}

// recordOf is a record as the programs make it of a request with a key of 30
// bytes. It still lies in the ring when it has been read.
func recordOf(b *testing.B, ask func(*clientv3.Client) error) []byte {
	if os.Getuid() != 0 {
		b.Skip("SKIPPED: eBPF needs root here")
	}
	s := startServer(b)
	settings := trace.Settings{Mode: trace.ModeAll, SlowRequest: time.Hour, Sample: 1, RingBytes: 1 << 20, Rescan: time.Minute, Interval: time.Minute, PIDs: []int{s.PID()}}
	seen := make(chan struct{}, 1)
	end := follow(b, s, settings, func(plog.Logs) {
		select {
		case seen <- struct{}{}:
		default:
		}
	}, func(string, int64) {})
	defer end()
	if err := ask(s.client); err != nil {
		b.Fatal(err)
	}
	<-seen
	ring := ringOf(b, settings.RingBytes)
	defer func() { _ = ring.Close() }()

	// A page with the position of the producer, then the records, each behind a header
	// of eight bytes: Documentation/bpf/ringbuf.rst of the kernel.
	page := os.Getpagesize()
	memory, err := unix.Mmap(ring.FD(), int64(page), page+settings.RingBytes, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = unix.Munmap(memory) }()
	rest := memory[page:][:binary.NativeEndian.Uint64(memory)]
	var r bpf.Record
	for len(rest) >= 8 {
		size := int(binary.NativeEndian.Uint32(rest))
		if raw := rest[8:][:size]; bpf.Decode(raw, &r) == nil && string(r.Key) == key(1) {
			return append([]byte(nil), raw...)
		}
		rest = rest[8+(size+7)/8*8:]
	}
	b.Fatal("there is no record of the request")
	return nil
}
