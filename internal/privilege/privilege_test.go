// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package privilege

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// host is a machine on which this process has these capabilities.
func host(t *testing.T, caps uint64, seccomp int, lockdown string) Host {
	t.Helper()
	h := Host{Proc: t.TempDir(), Sys: t.TempDir()}
	write := func(path, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	write(filepath.Join(h.Proc, "thread-self", "status"), fmt.Sprintf("Name:\tx\nCapEff:\t%016x\nSeccomp:\t%d\n", caps, seccomp))
	if lockdown != "" {
		write(filepath.Join(h.Sys, "kernel", "security", "lockdown"), lockdown)
	}
	return h
}

// on is a host with a kernel of this release, which lets a process lock 64 KiB.
func on(release string, h Host) Host {
	_ = os.MkdirAll(filepath.Join(h.Proc, "sys", "kernel"), 0o755)
	_ = os.WriteFile(filepath.Join(h.Proc, "sys", "kernel", "osrelease"), []byte(release+"\n"), 0o600)
	_ = os.WriteFile(filepath.Join(h.Proc, "thread-self", "limits"), []byte("Max processes             5910                 5910                 processes\nMax locked memory         65536                65536                bytes\n"), 0o600)
	return h
}

// users is a host on which the collector has these users.
func users(h Host, ids string) Host {
	_ = os.WriteFile(filepath.Join(h.Proc, "thread-self", "uid_map"), []byte(ids+"\n"), 0o600)
	return h
}

func TestARefusalIsExplainedByWhatIsMissing(t *testing.T) {
	const all = 1<<bpf | 1<<perfmon | 1<<sysPtrace
	refused := fmt.Errorf("map create: %w (MEMLOCK may be too low, consider rlimit.RemoveMemlock)", syscall.EPERM)
	const old = "5.10.0-32-cloud-amd64"
	before66 := ": run it as root, or give it CAP_BPF, CAP_PERFMON and, before Linux 6.6, CAP_SYS_ADMIN, and CAP_SYS_PTRACE to look into an etcd of another user"
	remedy := ": run it as root, or give it CAP_BPF and CAP_PERFMON, and CAP_SYS_PTRACE to look into an etcd of another user"
	for name, tc := range map[string]struct {
		host Host
		want string
	}{
		"nothing":         {host(t, 0, 0, ""), "the collector lacks CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE" + remedy},
		"without bpf":     {host(t, all&^(1<<bpf), 0, ""), "the collector lacks CAP_BPF" + remedy},
		"without perfmon": {host(t, all&^(1<<perfmon), 0, ""), "the collector lacks CAP_PERFMON" + remedy},
		"without ptrace":  {host(t, all&^(1<<sysPtrace), 0, ""), "the collector lacks CAP_SYS_PTRACE" + remedy},
		"only admin":      {host(t, 1<<sysAdmin, 0, ""), "the collector lacks CAP_SYS_PTRACE" + remedy},
		"seccomp":         {host(t, all, 2, "[none] integrity confidentiality\n"), "a seccomp filter may forbid the system calls bpf and perf_event_open: in a container use a profile that allows them"},
		"own users":       {users(host(t, all, 2, ""), "0 100000 65536"), "the collector has a name space of users of its own, whose rights the kernel does not ask for: let it have those of the host, in Kubernetes with hostUsers: true"},
		"the host's":      {users(host(t, all, 2, ""), "         0          0 4294967295"), "a seccomp filter may forbid the system calls bpf and perf_event_open: in a container use a profile that allows them"},
		"ptrace or more":  {host(t, all&^(1<<sysPtrace), 2, ""), "the collector lacks CAP_SYS_PTRACE" + remedy + "; a seccomp filter may forbid the system calls bpf and perf_event_open: in a container use a profile that allows them"},
		"locked memory":   {on(old, host(t, all, 0, "")), "before Linux 5.11 programs in the kernel count as locked memory, of which the collector may have 65536 bytes: if that is why, give it CAP_SYS_RESOURCE, or set LimitMEMLOCK=infinity in its systemd unit"},
		"an old kernel":   {on(old, host(t, 1<<perfmon|1<<sysPtrace, 0, "")), "the collector lacks CAP_BPF" + before66},
		"a newer one":     {on("6.6.1", host(t, 1<<perfmon|1<<sysPtrace, 0, "")), "the collector lacks CAP_BPF" + remedy},
		"lockdown":        {host(t, all, 0, "none integrity [confidentiality]\n"), "the kernel's lockdown is `confidentiality`, which forbids reading memory with eBPF: boot with lockdown=integrity"},
	} {
		err := tc.host.Explain(refused)
		require.EqualError(t, err, tc.want+" (the kernel says: map create: operation not permitted)", name)
		require.ErrorIs(t, err, syscall.EPERM)
	}
}

func TestAProbeThatPerfRefusesIsExplainedByWhatPerfAsksFor(t *testing.T) {
	const three = 1<<bpf | 1<<perfmon | 1<<sysPtrace
	refused := func(why error) error { return fmt.Errorf("%w: opening perf event: %w", ErrPerf, why) }
	for name, tc := range map[string]struct {
		host Host
		why  error
		want string
	}{
		"two rights":   {on("5.10.0-32-cloud-amd64", host(t, three&^(1<<sysPtrace), 2, "")), syscall.EACCES, "the collector lacks CAP_SYS_ADMIN: run it as root, or give it CAP_BPF, CAP_PERFMON and, before Linux 6.6, CAP_SYS_ADMIN, and CAP_SYS_PTRACE to look into an etcd of another user"},
		"three rights": {on("5.10.0-32-cloud-amd64", host(t, three, 2, "")), syscall.EACCES, "the collector lacks CAP_SYS_ADMIN: run it as root, or give it CAP_BPF, CAP_PERFMON and, before Linux 6.6, CAP_SYS_ADMIN, and CAP_SYS_PTRACE to look into an etcd of another user"},
		"a filter":     {on("5.10.0-32-amd64", host(t, three|1<<sysAdmin, 2, "")), syscall.EPERM, "a seccomp filter may forbid the system calls bpf and perf_event_open: in a container use a profile that allows them"},
	} {
		err := tc.host.Explain(refused(tc.why))
		require.EqualError(t, err, fmt.Sprintf("%s (the kernel says: perf refuses the probe: opening perf event: %s)", tc.want, tc.why), name)
	}
	unknown := refused(syscall.EACCES)
	assert.Equal(t, unknown, on("5.10.0-32-cloud-amd64", host(t, three|1<<sysAdmin, 2, "")).Explain(unknown), "neither a filter nor a limit of memory says EACCES")
}

func TestTracefsThatIsRootsIsExplainedByWhatReadsIt(t *testing.T) {
	const three = 1<<bpf | 1<<perfmon | 1<<sysPtrace
	refused := fmt.Errorf("sched_process_exit: %w", &fs.PathError{Op: "open", Path: "/sys/kernel/tracing/events/x/y/format", Err: syscall.EACCES})
	require.EqualError(t, host(t, three, 0, "").Explain(refused), "the collector lacks CAP_DAC_READ_SEARCH: run it as root, or give it that too, by which another user reads /sys/kernel/tracing/events/x/y/format"+
		" (the kernel says: sched_process_exit: open /sys/kernel/tracing/events/x/y/format: permission denied)")
	for _, reads := range []uint64{1 << dacReadSearch, 1 << dacOverride} {
		assert.Equal(t, refused, on("5.10.0-32-cloud-amd64", host(t, three|reads, 2, "")).Explain(refused))
	}
}

func TestLockdownIsNamedWhateverTheKernelSaysOfIt(t *testing.T) {
	locked := host(t, 1<<bpf|1<<perfmon|1<<sysPtrace, 0, "none integrity [confidentiality]\n")
	err := locked.Explain(fmt.Errorf("load program: %w: unknown func bpf_probe_read#4", syscall.EINVAL))
	require.EqualError(t, err, "the kernel's lockdown is `confidentiality`, which forbids reading memory with eBPF: boot with lockdown=integrity (the kernel says: load program: invalid argument: unknown func bpf_probe_read#4)")
}

func TestWhatIsNoQuestionOfPrivilegesStaysAsItIs(t *testing.T) {
	assert.NoError(t, Host{}.Explain(nil))
	other := errors.New("the verifier refuses")
	assert.Equal(t, other, host(t, 0, 0, "none integrity [confidentiality]").Explain(other))
	assert.Equal(t, other, host(t, 0, 0, "").Explain(other))
	unknown := fmt.Errorf("load: %w", syscall.EPERM)
	assert.Equal(t, unknown, host(t, 1<<bpf|1<<perfmon|1<<sysPtrace, 0, "[none]").Explain(unknown), "nothing is missing that we know of")
	assert.Equal(t, unknown, on("5.10.0-32-cloud-amd64", host(t, 1<<bpf|1<<perfmon|1<<sysPtrace|1<<sysResource, 0, "")).Explain(unknown), "a limit that does not bind")
	assert.Equal(t, unknown, Host{Proc: t.TempDir()}.Explain(unknown), "without /proc nothing can be said")
}
