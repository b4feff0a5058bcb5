// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// usage is what processes have used: since their start, or in a window.
type usage struct {
	cpu, etcdCPU   time.Duration // of this process, and of the members together
	mallocs, bytes float64       // of this process
}

// window waits for d and tells what was used meanwhile.
func window(d time.Duration, pids []int) (used usage, took time.Duration, err error) {
	runtime.GC() // what the one before left behind is not ours
	began := time.Now()
	before, err := usageNow(pids)
	if err != nil {
		return usage{}, 0, err
	}
	time.Sleep(d)
	after, err := usageNow(pids)
	return after.minus(before, 1), time.Since(began), err
}

func usageNow(pids []int) (u usage, err error) {
	for _, pid := range pids {
		t, err := cpuTime(pid)
		if err != nil {
			return u, err
		}
		u.etcdCPU += t
	}
	if u.cpu, err = cpuTime(0); err != nil {
		return u, err
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	u.mallocs, u.bytes = float64(mem.Mallocs), float64(mem.TotalAlloc)
	return u, nil
}

// cpuTime is the user and system time of a process, 0 for this one. The clock
// counts nanoseconds; utime and stime in /proc/PID/stat come in steps of 10 ms.
//
// Source: MAKE_PROCESS_CPUCLOCK and CPUCLOCK_SCHED in the kernel's
// include/linux/posix-timers_types.h; glibc's clock_getcpuclockid does the same.
func cpuTime(pid int) (time.Duration, error) {
	const cpuClockSched = 2
	var t unix.Timespec
	err := unix.ClockGettime(^int32(pid)<<3|cpuClockSched, &t)
	return time.Duration(t.Nano()), err
}

// minus takes off v times f.
func (u usage) minus(v usage, f float64) usage {
	return usage{
		cpu:     u.cpu - time.Duration(f*float64(v.cpu)),
		etcdCPU: u.etcdCPU - time.Duration(f*float64(v.etcdCPU)),
		mallocs: u.mallocs - f*v.mallocs,
		bytes:   u.bytes - f*v.bytes,
	}
}
