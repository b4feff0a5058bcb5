// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
	"github.com/etcdreceiver/etcdreceiver/test/kernels/guest"
)

// These show what this host's kernel cannot: test/kernels runs them in machines of
// its own.

// lockdown is what the kernel was booted with.
func lockdown() string {
	text, err := os.ReadFile("/sys/kernel/security/lockdown")
	_, rest, ok := strings.Cut(string(text), "[")
	chosen, _, _ := strings.Cut(rest, "]")
	if err != nil || !ok {
		return "none"
	}
	return chosen
}

func TestAKernelThatIsLockedDownForConfidentialityIsNamedInOneLine(t *testing.T) {
	if !guest.Inside() {
		t.Skip("test/kernels boots a kernel for it")
	}
	require.Equal(t, "confidentiality", lockdown())
	err := harness.New(t, `
endpoints: ["http://127.0.0.1:1"]
watch: {enabled: false}
ebpf: {mode: required}`, true, false).TryStart()
	require.ErrorContains(t, err, "the kernel's lockdown is `confidentiality`, which forbids reading memory with eBPF: boot with lockdown=integrity")
	assert.NotContains(t, err.Error(), "\n")
	t.Log("says:", err)
}

func TestAnOrdinaryUserIsToldWhatAnOlderKernelAsksForToo(t *testing.T) {
	if !guest.Inside() {
		t.Skip("test/kernels boots a kernel for it")
	}
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit))
	t.Cleanup(func() { require.NoError(t, unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit)) })
	cluster := harness.Start(t, "3.6", localcluster.Config{})
	var uname unix.Utsname
	require.NoError(t, unix.Uname(&uname))
	release := unix.ByteSliceToString(uname.Release[:])
	three := []uintptr{capBPF, capPerfmon, capSysPtrace}
	for _, tc := range []struct {
		name   string
		memory uint64 // that may be locked
		more   []uintptr
		series []string // that refuse it
		says   string
	}{
		{
			"probes by perf", unix.RLIM_INFINITY, nil,
			[]string{"5.10.", "6.1."},
			"the collector lacks CAP_SYS_ADMIN: run it as root, or give it CAP_BPF, CAP_PERFMON and, before Linux 6.6, CAP_SYS_ADMIN",
		},
		{
			"programs as locked memory", 64 << 10,
			[]uintptr{capSysAdmin},
			[]string{"5.10."},
			"before Linux 5.11 programs in the kernel count as locked memory, of which the collector may have 65536 bytes: if that is why, give it CAP_SYS_RESOURCE",
		},
		{"a limit that it may raise", 64 << 10, []uintptr{capSysAdmin, capSysResource}, nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.NoError(t, unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: tc.memory, Max: tc.memory}))
			seen := startAs(t, slices.Concat(three, tc.more), seenBy{Mode: "required", PID: cluster.Members()[0].PID(), Endpoint: cluster.Endpoints()[0]})
			if slices.ContainsFunc(tc.series, func(series string) bool { return strings.HasPrefix(release, series) }) {
				assert.Contains(t, seen.Failure+seen.Status, tc.says)
				assert.NotContains(t, seen.Log, "requests of etcd are traced")
				t.Log("says:", seen.Failure, seen.Status)
				return
			}
			assert.Empty(t, seen.Failure)
			assert.Contains(t, seen.Log, "requests of etcd are traced")
		})
	}
}

// Elsewhere others make programs and maps too.
func TestACollectorThatIsKilledLeavesNothingInTheKernel(t *testing.T) {
	if !guest.Inside() {
		t.Skip("test/kernels boots a kernel for it")
	}
	member := harness.Start(t, "3.6", localcluster.Config{}).Members()[0]
	before := left(t)
	kill := startCollector(t, member.PID(), member.ClientURL, true)
	waitFor(t, "what a collector has in the kernel", func() bool {
		now := left(t)
		return now["programs"] > before["programs"] && now["maps"] > before["maps"] && now["links"] > before["links"]
	})
	kill()
	waitFor(t, "the end of all of it", func() bool { return maps.Equal(left(t), before) && isAsInFile(t, member.PID()) })
}
