// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/etcdreceiver/etcdreceiver/test/harness"
	"github.com/etcdreceiver/etcdreceiver/test/kernels/guest"
)

// place is where a collector may run: in some name spaces of its own, its mounts
// among them, with what enter has made there.
type place struct {
	flags uintptr
	enter func(t *testing.T)
}

var ownPIDs = place{syscall.CLONE_NEWPID, func(t *testing.T) { mount(t, "proc", "/proc", "proc", 0) }}

// placesToWork are those in which all can be traced of an etcd that is beside it.
var placesToWork = map[string]place{
	"process ids of its own, as in a node that is a container": ownPIDs,
	"a network of its own": {syscall.CLONE_NEWNET, func(t *testing.T) { require.NoError(t, guest.Loopback()) }},
	"no tracefs": {0, func(t *testing.T) {
		mount(t, "none", "/sys/kernel/tracing", "tmpfs", 0)
		mount(t, "none", "/sys/kernel/debug", "tmpfs", 0)
	}},
	"a root file system that is read only": {0, func(t *testing.T) {
		mount(t, "none", os.TempDir(), "tmpfs", 0) // for etcd's data
		mount(t, "", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY)
		require.ErrorIs(t, os.WriteFile("/written", nil, 0o600), unix.EROFS)
	}},
}

// placesToRefuse are those in which nothing can be traced, with the line that says
// why and what helps.
var placesToRefuse = map[string]struct {
	place
	says string
}{
	"a seccomp profile without bpf()": {
		place{0, forbidBPF},
		"a seccomp filter may forbid the system calls bpf and perf_event_open: in a container use a profile that allows them (the kernel says: ",
	},
	"users of its own": {
		place{syscall.CLONE_NEWUSER, func(*testing.T) {}},
		"the collector has a name space of users of its own, whose rights the kernel does not ask for: " +
			"let it have those of the host, in Kubernetes with hostUsers: true (the kernel says: ",
	},
	"process ids of its own, and no BTF": {
		place{syscall.CLONE_NEWPID, func(t *testing.T) {
			ownPIDs.enter(t)
			mount(t, "none", "/sys/kernel/btf", "tmpfs", 0)
		}},
		"the collector has a name space of process ids of its own, and its ids cannot be told from the host's: " +
			"let it share those of the host, in Kubernetes with hostPID: true: this kernel has no BTF",
	},
	"process ids of its own, and the host's /proc": {
		place{syscall.CLONE_NEWPID, func(*testing.T) {}},
		"the collector has a name space of process ids of its own, but /proc is that of another one: " +
			"let it share those of the host, in Kubernetes with hostPID: true, or mount a /proc of its own",
	},
}

func mount(t *testing.T, what, where, kind string, flags uintptr) {
	t.Helper()
	require.NoError(t, unix.Mount(what, where, kind, flags, ""))
}

// forbidBPF has the kernel answer EPERM to bpf(), as the profile of a container
// runtime does.
func forbidBPF(t *testing.T) {
	t.Helper()
	const number = 0 // in struct seccomp_data
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_BPF, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	require.Zero(t, errno)
}

const inPlace = "TRACE_PLACE"

// goTo runs the test that calls it once more, in a place, and gives what it wrote.
func goTo(t *testing.T, name string, p place) string {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	test, _, _ := strings.Cut(t.Name(), "/")
	command := `exec "$0" "$@"`
	if p.flags&syscall.CLONE_NEWPID != 0 { // the shell is process 1
		command = `"$0" "$@"; exit $?`
	}
	again := exec.CommandContext(t.Context(), "sh", "-c", command, self, "-test.run=^"+test+"$", "-test.v", "-test.timeout=10m")
	again.WaitDelay = 10 * time.Second                                        // where what it has started still holds its output
	again.Env = append(os.Environ(), inPlace+"="+name, "TMPDIR="+t.TempDir()) // a place may hide the folder
	outer, err := os.Open("/proc/self/ns/net")
	require.NoError(t, err)
	defer func() { require.NoError(t, outer.Close()) }()
	again.ExtraFiles = []*os.File{outer} // outerNetwork
	again.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Cloneflags: p.flags, Pdeathsig: syscall.SIGKILL}
	if p.flags&syscall.CLONE_NEWUSER != 0 { // root there is root here
		root := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}
		again.SysProcAttr.UidMappings, again.SysProcAttr.GidMappings = root, root
	}
	out, err := again.CombinedOutput()
	t.Logf("%s", out)
	require.NoError(t, err)
	require.NotContains(t, string(out), "--- SKIP")
	return string(out)
}

func TestWhereverTheCollectorRunsItTracesAllThatIsAsked(t *testing.T) {
	harness.NeedRoot(t)
	if guest.Inside() {
		t.Skip("a virtual machine has no other program than this one, and shows other things")
	}
	if p, ok := placesToWork[os.Getenv(inPlace)]; ok {
		p.enter(t)
		own := p.flags&syscall.CLONE_NEWPID != 0
		proveRung(t, &proven{Rung: os.Getenv(inPlace), BTF: true, OwnPIDs: own}, everything())
		if own {
			proveContained(t) // whose process ids are its own once more
		}
		return
	}
	for name, p := range placesToWork {
		t.Run(name, func(t *testing.T) { goTo(t, name, p) })
	}
}

func TestAPlaceThatForbidsTracingIsNamedInOneLine(t *testing.T) {
	harness.NeedRoot(t)
	if guest.Inside() {
		t.Skip("a virtual machine has no other program than this one, and shows other things")
	}
	const config = `
endpoints: ["http://127.0.0.1:1"]
watch: {enabled: false}
ebpf: {mode: %s}`
	if p, ok := placesToRefuse[os.Getenv(inPlace)]; ok {
		p.enter(t)
		err := harness.New(t, fmt.Sprintf(config, "required"), true, false).TryStart()
		require.ErrorContains(t, err, "ebpf.mode: required, but requests cannot be traced here: ")
		require.ErrorContains(t, err, p.says)
		assert.NotContains(t, err.Error(), "\n")
		r := harness.New(t, fmt.Sprintf(config, "auto"), true, false)
		r.Start(t)
		defer r.Stop(t)
		waitFor(t, "the line", func() bool {
			for _, e := range r.Log.All() {
				if strings.Contains(fmt.Sprint(e.ContextMap()["error"]), p.says) {
					fmt.Println("says:", e.Message, e.ContextMap())
					return true
				}
			}
			return false
		})
		return
	}
	for name, p := range placesToRefuse {
		t.Run(name, func(t *testing.T) { goTo(t, name, p.place) })
	}
}
