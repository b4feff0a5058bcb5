// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package throughput

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// usage is what processes have used: since their start, or in between.
type usage struct {
	at             time.Time
	wall           time.Duration
	cpu, etcdCPU   time.Duration
	faults         float64 // pages that were touched first, of the process
	mallocs, bytes float64 // of this process
}

// meter reads the usage of one process, 0 for this one, and of etcd.
type meter struct{ pid, etcd int }

func (m meter) now(tb testing.TB) usage {
	tb.Helper()
	u := usage{at: time.Now(), cpu: cpuTime(tb, m.pid), etcdCPU: cpuTime(tb, m.etcd), faults: faults(tb, m.pid)}
	if m.pid == 0 {
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		u.mallocs, u.bytes = float64(mem.Mallocs), float64(mem.TotalAlloc)
	}
	return u
}

// idle is what is used in a second in which no contender runs.
func (m meter) idle(tb testing.TB, d time.Duration) usage {
	tb.Helper()
	runtime.GC() // what the one before left behind is not the next one's
	time.Sleep(300 * time.Millisecond)
	before := m.now(tb)
	time.Sleep(d)
	u := m.now(tb).since(before, usage{})
	f := u.wall.Seconds()
	return usage{cpu: scale(u.cpu, 1/f), etcdCPU: scale(u.etcdCPU, 1/f), mallocs: u.mallocs / f, bytes: u.bytes / f}
}

// since is what was used from before on, less what is used anyway in a second.
func (u usage) since(before, idle usage) usage {
	wall := u.at.Sub(before.at)
	f := wall.Seconds()
	return usage{
		wall:    wall,
		cpu:     u.cpu - before.cpu - scale(idle.cpu, f),
		etcdCPU: u.etcdCPU - before.etcdCPU - scale(idle.etcdCPU, f),
		faults:  u.faults - before.faults,
		mallocs: u.mallocs - before.mallocs - f*idle.mallocs,
		bytes:   u.bytes - before.bytes - f*idle.bytes,
	}
}

func scale(d time.Duration, f float64) time.Duration { return time.Duration(f * float64(d)) }

// cpuTime is the user and system time of a process, 0 for this one. The clock
// counts nanoseconds; utime and stime in /proc/PID/stat come in steps of 10 ms.
//
// Source: MAKE_PROCESS_CPUCLOCK and CPUCLOCK_SCHED in the kernel's
// include/linux/posix-timers_types.h; glibc's clock_getcpuclockid does the same.
func cpuTime(tb testing.TB, pid int) time.Duration {
	tb.Helper()
	const cpuClockSched = 2
	var t unix.Timespec
	if err := unix.ClockGettime(^int32(pid)<<3|cpuClockSched, &t); err != nil {
		tb.Fatalf("read the CPU clock of process %d: %v", pid, err)
	}
	return time.Duration(t.Nano())
}

// faults is how many pages a process, 0 for this one, has touched for the first
// time: minflt in proc(5).
func faults(tb testing.TB, pid int) float64 {
	tb.Helper()
	text, err := os.ReadFile("/proc/" + process(pid) + "/stat")
	if err != nil {
		tb.Fatal(err)
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	n, err := strconv.ParseFloat(string(fields[7]), 64)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// process names a process in /proc.
func process(pid int) string {
	if pid == 0 {
		return "self"
	}
	return strconv.Itoa(pid)
}

// faultCost is what the first touch of a page costs here: 0.2 us on a machine of
// its own, and 14 us were seen on a virtual one, where it is most of what anything
// costs that allocates.
func faultCost(tb testing.TB) time.Duration {
	tb.Helper()
	const size = 64 << 20
	fresh, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = unix.Munmap(fresh) }()
	before := cpuTime(tb, 0)
	pages := os.Getpagesize()
	for i := 0; i < size; i += pages {
		fresh[i] = 1
	}
	return (cpuTime(tb, 0) - before) / time.Duration(size/pages)
}

// perEvent are the columns of costs that ToLogs and ToOTLP share.
type perEvent struct{ cpu, faults, lessFaults, rate float64 }

func (u usage) perEvent(events int, fault time.Duration) perEvent {
	n := float64(events)
	cpu := float64(u.cpu.Nanoseconds()) / 1000 / n
	return perEvent{cpu, u.faults / n, cpu - u.faults/n*float64(fault.Nanoseconds())/1000, n / u.wall.Seconds()}
}

func (p perEvent) used() float64         { return p.cpu }
func (p perEvent) touched() float64      { return p.faults }
func (p perEvent) onOwnMachine() float64 { return p.lessFaults }
func (p perEvent) perSecond() float64    { return p.rate }

// memory is a line of /proc/PID/status in MiB, 0 for this process: VmRSS is what it
// has now.
func memory(tb testing.TB, pid int, line string) float64 {
	tb.Helper()
	text, err := os.ReadFile("/proc/" + process(pid) + "/status")
	if err != nil {
		tb.Fatal(err)
	}
	_, rest, _ := bytes.Cut(text, []byte(line+":"))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		tb.Fatalf("process %d has no %s; it has ended", pid, line)
	}
	kib, err := strconv.ParseFloat(string(fields[0]), 64)
	if err != nil {
		tb.Fatal(err)
	}
	return kib / 1024
}
