// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"os"
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

func TestALimitOfLockedMemoryIsNamedOnKernelsThatCountProgramsAsSuch(t *testing.T) {
	if !guest.Inside() {
		t.Skip("test/kernels boots a kernel for it")
	}
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit))
	t.Cleanup(func() { require.NoError(t, unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit)) })
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 64 << 10, Max: 64 << 10}))
	cluster := harness.Start(t, "3.6", localcluster.Config{})
	caps := []uintptr{capBPF, capPerfmon, capSysPtrace, capSysAdmin} // before 6.6 a probe needs the last
	seen := startAs(t, caps, seenBy{Mode: "required", PID: cluster.Members()[0].PID(), Endpoint: cluster.Endpoints()[0]})
	var uname unix.Utsname
	require.NoError(t, unix.Uname(&uname))
	if strings.HasPrefix(unix.ByteSliceToString(uname.Release[:]), "5.10.") {
		assert.Contains(t, seen.Failure, "before Linux 5.11 programs in the kernel count as locked memory, of which the collector may have 65536 bytes: if that is why, give it CAP_SYS_RESOURCE")
		t.Log("says:", seen.Failure)
		return
	}
	assert.Empty(t, seen.Failure)
	assert.Contains(t, seen.Log, "requests of etcd are traced")
}
