// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && amd64

package throughput

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"golang.org/x/sys/unix"

	"github.com/etcdreceiver/etcdreceiver/internal/join"
	"github.com/etcdreceiver/etcdreceiver/receiver/trace"
)

// startupRole makes the test binary a process that begins to trace an etcd, given as
// its PID and client URL.
const startupRole = "THROUGHPUT_STARTUP"

func init() { // before TestMain, which other systems have too
	if of := os.Getenv(startupRole); of != "" {
		os.Exit(runStartup(of, os.Stdout))
	}
}

// startup is what that has cost.
type startup struct {
	LoadCPU, CPU time.Duration // of putting the programs into the kernel, and of all
	Wall         time.Duration
	RSS, Peak    float64 // MiB more than before: afterwards, and at most
}

func (s startup) ms() float64     { return float64(s.CPU.Microseconds()) / 1000 }
func (s startup) loadMS() float64 { return float64(s.LoadCPU.Microseconds()) / 1000 }
func (s startup) wallMS() float64 { return float64(s.Wall.Microseconds()) / 1000 }
func (s startup) rss() float64    { return s.RSS }
func (s startup) peak() float64   { return s.Peak }

// The goals: of a processor, and of memory.
const (
	startupMS  = 150
	startupMiB = 40
)

// runStartup is such a process: the road as the defaults have it, from nothing until the
// self-check is over and all probes are in.
func runStartup(of string, answers io.Writer) int {
	s, err := func() (s startup, err error) {
		var pid int
		var url string
		if _, err := fmt.Sscan(of, &pid, &url); err != nil {
			return s, err
		}
		settings := trace.Settings{
			Mode: trace.ModeWrites, SlowRequest: time.Second, Sample: 1, RingBytes: 8 << 20, Rescan: time.Minute, Interval: time.Minute,
			Disk: true, SlowSync: time.Second, Network: true, PIDs: []int{pid},
		}
		ready := make(chan error, 1)
		t, err := newTracer(url, settings, func(plog.Logs) {}, func(string, int64) {}, ready)
		if err != nil {
			return s, err
		}
		t.Window = join.NewWindow() // authors of changes are told
		debug.FreeOSMemory()
		began, before, cpu := time.Now(), ownMemory("VmRSS"), ownCPU()
		if err := t.Open(); err != nil {
			return s, err
		}
		s.LoadCPU = ownCPU() - cpu
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			t.Run(ctx)
		}()
		err = <-ready
		s.Wall = time.Since(began)
		time.Sleep(200 * time.Millisecond) // the last probes follow the self-check
		s.CPU, s.RSS, s.Peak = ownCPU()-cpu, ownMemory("VmRSS")-before, ownMemory("VmHWM")-before
		cancel()
		<-done
		return s, err
	}()
	if err == nil {
		err = json.NewEncoder(answers).Encode(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// ownCPU is the user and system time of this process.
func ownCPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// ownMemory is a line of /proc/self/status in MiB.
func ownMemory(line string) float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	var kib float64
	_, rest, _ := strings.Cut(string(text), line+":")
	_, _ = fmt.Sscan(rest, &kib)
	return kib / 1024
}

// BenchmarkStartup is what it costs to find an etcd, to read its executable, and to put
// the probes in, for each build that is there. A process of its own begins anew each time.
func BenchmarkStartup(b *testing.B) {
	builds, err := filepath.Glob(filepath.Join(os.Getenv("ETCD_BIN_DIR"), "*", "etcd"))
	if err != nil || len(builds) == 0 {
		needed(b, "ETCD_BIN_DIR", "3.6/etcd")
	}
	rows := [][]string{{"etcd", "CPU ms", "of it loading programs", "wall ms", "RSS MiB", "peak MiB", "goal"}}
	for _, path := range builds {
		build := filepath.Base(filepath.Dir(path))
		if strings.HasPrefix(build, "changed-") || strings.HasSuffix(build, "-arm64") {
			continue
		}
		b.Run(build, func(b *testing.B) {
			s := startBuild(b, build)
			m := by[startup]{}
			for range *rounds {
				self := exec.Command("/proc/self/exe")
				self.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", startupRole, s.PID(), s.ClientURL))
				self.Stderr = os.Stderr
				out, err := self.Output()
				if err != nil {
					b.Fatal(err)
				}
				var one startup
				if err := json.Unmarshal(out, &one); err != nil {
					b.Fatalf("%s: %v", out, err)
				}
				m[build] = append(m[build], one)
			}
			cpu, rss := m.of(build, startup.ms), m.of(build, startup.rss)
			b.ReportMetric(median(cpu), "cpu-ms")
			b.ReportMetric(median(rss), "rss-MiB")
			b.ReportMetric(0, "ns/op")
			met := median(cpu) < startupMS && slices.Max(rss) <= startupMiB
			rows = append(rows, []string{
				build, spread("%.0f", cpu), spread("%.0f", m.of(build, startup.loadMS)), spread("%.0f", m.of(build, startup.wallMS)),
				spread("%.1f", rss), spread("%.1f", m.of(build, startup.peak)), verdict(met),
			})
		})
	}
	printTable("Startup: to find, inspect and attach to one etcd", rows, fmt.Sprintf("goal: under %d ms of CPU, no more than %d MiB more RSS", startupMS, startupMiB))
}
