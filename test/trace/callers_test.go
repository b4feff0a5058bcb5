// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"net"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// dialAsThread dials in a thread with a name of its own, and closes.
func dialAsThread(t *testing.T, address string) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	rename := func(name string) {
		raw := append([]byte(name), 0)
		require.NoError(t, unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&raw[0])), 0, 0, 0))
	}
	rename("a-thread")
	defer rename(ourName())
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	require.NoError(t, c.Close())
}

// followed has the kernel follow the connections of a member, and gives where it
// listens for clients.
func followed(t *testing.T, m *localcluster.Member) (programs *bpf.Programs, network *bpf.Network, address string) {
	t.Helper()
	u, err := url.Parse(m.ClientURL)
	require.NoError(t, err)
	programs, err = bpf.Load(bpf.Options{RingBytes: 1 << 20})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, programs.Close()) })
	network, err = programs.FollowNetwork()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, network.Close()) })
	require.NoError(t, programs.PutProcess(m.PID(), bpf.Process{Checked: 1}))
	require.NoError(t, network.Look(func(*bpf.Record) {})) // where it listens
	return programs, network, u.Host
}

func TestTheKernelTellsACallerByItsProcessAndItsEndByTheSameSocket(t *testing.T) {
	harness.NeedRoot(t)
	m := harness.Start(t, "3.6", localcluster.Config{}).Members()[0]
	programs, network, address := followed(t, m)

	dialAsThread(t, address)
	open := map[uint64]string{}
	waitFor(t, "a caller that came and went", func() bool {
		gone := false
		require.NoError(t, programs.Drain(func(raw []byte) {
			var r bpf.Record
			require.NoError(t, bpf.Decode(raw, &r))
			if r.Kind != bpf.KindConnection || r.Connection.Role != bpf.RoleCaller || int(r.PID) != os.Getpid() {
				return
			}
			switch r.Operation {
			case bpf.ConnectionOpened:
				open[r.Connection.Socket] = string(r.Connection.Process)
			case bpf.ConnectionClosed:
				assert.Equal(t, ourName(), open[r.Connection.Socket], "the name of the process, not of its thread")
				gone = true
			}
		}))
		return gone
	})

	require.NoError(t, network.Forget(m.PID()))
	require.NoError(t, programs.RemoveProcess(m.PID()))
	seen := 0
	require.NoError(t, network.Look(func(*bpf.Record) { seen++ }))
	assert.Zero(t, seen, "nobody listens any more")
}

func TestAChildThatHasInheritedAConnectionIsNotWhoHasDialled(t *testing.T) {
	harness.NeedRoot(t)
	m := harness.Start(t, "3.6", localcluster.Config{}).Members()[0]
	_, network, address := followed(t, m)

	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	held, err := c.(*net.TCPConn).File()
	require.NoError(t, err)
	defer func() { require.NoError(t, held.Close()) }()
	child := exec.Command("sleep", "60")
	child.ExtraFiles = []*os.File{held}
	require.NoError(t, child.Start())
	defer func() { _, _ = child.Process.Kill(), child.Wait() }()

	var has []int
	require.NoError(t, network.Look(func(r *bpf.Record) {
		if r.Connection.Role == bpf.RoleCaller && r.Connection.Local.String() == c.LocalAddr().String() {
			assert.Equal(t, ourName(), string(r.Connection.Process))
			has = append(has, int(r.PID))
		}
	}))
	require.Len(t, has, 3, "files that are this connection: two of ours, and the child's")
	for _, pid := range has {
		assert.Equal(t, os.Getpid(), pid)
	}
}
