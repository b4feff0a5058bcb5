// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && amd64

package throughput

import (
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/etcdreceiver/etcdreceiver/internal/gobinary"
)

// prices are what this machine takes for what a probe consists of, in us of CPU. They
// differ by a factor of ten between machines: a trap is 0.6 us on one whose kernel
// shares its page tables with processes, and 5 us on one that changes them.
type prices struct{ call, emulated, stepped float64 }

func (p prices) ofCall() float64     { return p.call }
func (p prices) ofEmulated() float64 { return p.emulated }
func (p prices) ofStepped() float64  { return p.stepped }

// pricesHere are those of a system call, and of empty programs in a function of this
// very process: at its stack check, whose jump the kernel emulates, and at its first
// instruction, which it steps over.
func pricesHere(b *testing.B) prices {
	call := func() { unix.Getppid() }
	function := func() { _ = probed(1) }
	bare := perCall(b, function)
	at := func(find func(*gobinary.Binary, gobinary.Function) (uint64, error)) float64 {
		end := emptyPrograms(b, os.Getpid(), func(binary *gobinary.Binary, _ io.ReaderAt) []uint64 {
			functions, err := binary.Functions(func(name []byte) bool { return strings.HasSuffix(string(name), "/throughput.probed") })
			if err != nil || len(functions) != 1 {
				b.Fatal(functions, err)
			}
			address, err := find(binary, functions[0])
			if err != nil {
				b.Fatal(err)
			}
			offset, err := binary.FileOffset(address)
			if err != nil {
				b.Fatal(err)
			}
			return []uint64{offset}
		})
		defer end()
		return perCall(b, function) - bare
	}
	return prices{
		call:     perCall(b, call),
		emulated: at((*gobinary.Binary).StackCheck),
		stepped:  at(func(_ *gobinary.Binary, f gobinary.Function) (uint64, error) { return f.Entry, nil }),
	}
}

// probed calls a function, and so has a stack check.
//
//go:noinline
func probed(n int) int { return called(n) + 1 }

//go:noinline
func called(n int) int { return n }

// perCall is the median of many short times, in us of CPU.
func perCall(b *testing.B, f func()) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const calls = 500
	var all []float64
	for range 41 {
		before := threadTime(b)
		for range calls {
			f()
		}
		all = append(all, float64((threadTime(b)-before).Nanoseconds())/1000/calls)
	}
	return median(all)
}

// threadTime is the CPU time of this thread.
func threadTime(tb testing.TB) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// work is what programs do in a process: how often they run, and for how many us.
type work struct{ hits, runs float64 }

func (w work) count() float64   { return w.hits }
func (w work) running() float64 { return w.runs }

// workIn asks the kernel for it, which counts while do runs. Counting takes time
// itself, so nothing else is measured then.
func workIn(b *testing.B, pid int, do func()) work {
	programs := programsIn(b, pid)
	defer func() {
		for _, p := range programs {
			_ = p.Close()
		}
	}()
	counting, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = counting.Close() }()
	sum := func() (w work) {
		for _, p := range programs {
			stats, err := p.Stats()
			if err != nil {
				b.Fatal(err)
			}
			w.hits += float64(stats.RunCount)
			w.runs += float64(stats.Runtime.Nanoseconds()) / 1000
		}
		return w
	}
	before := sum()
	do()
	after := sum()
	return work{after.hits - before.hits, after.runs - before.runs}
}

// programsIn are those that have a probe in a process.
func programsIn(b *testing.B, pid int) (programs []*ebpf.Program) {
	all := &link.Iterator{}
	defer all.Close()
	var known []ebpf.ProgramID
	for all.Next() {
		info, err := all.Link.Info()
		if err != nil {
			continue // it has ended
		}
		probes := info.UprobeMulti()
		if probes == nil {
			continue
		}
		if in, _ := probes.Pid(); int(in) != pid || slices.Contains(known, info.Program) {
			continue
		}
		p, err := ebpf.NewProgramFromID(info.Program)
		if err != nil {
			b.Fatal(err)
		}
		known, programs = append(known, info.Program), append(programs, p)
	}
	if err := all.Err(); err != nil {
		b.Fatal(err)
	}
	return programs
}
