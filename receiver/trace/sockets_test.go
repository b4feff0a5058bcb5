// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/etcdreceiver/etcdreceiver/bpf"
)

// host is a /proc in which processes have sockets.
type host struct {
	t     *testing.T
	proc  string
	inode int
	rows  map[uint32]string // by network name space
	in    map[int]uint32
}

func newHost(t *testing.T) *host {
	return &host{t: t, proc: t.TempDir(), inode: 100, rows: map[uint32]string{}, in: map[int]uint32{}}
}

func (h *host) process(pid int, network uint32, name string) {
	dir := filepath.Join(h.proc, strconv.Itoa(pid))
	for _, sub := range []string{"ns", "fd", "net"} {
		require.NoError(h.t, os.MkdirAll(filepath.Join(dir, sub), 0o700))
	}
	h.enter(pid, network)
	require.NoError(h.t, os.WriteFile(filepath.Join(dir, "comm"), []byte(name+"\n"), 0o600))
}

// enter brings a process into a name space.
func (h *host) enter(pid int, network uint32) {
	require.NoError(h.t, os.RemoveAll(h.space(pid)))
	require.NoError(h.t, os.Symlink(fmt.Sprintf("net:[%d]", network), h.space(pid)))
	h.in[pid] = network
	h.write()
}

// hide makes its name space one that cannot be read, as without CAP_SYS_PTRACE: root may
// read all links, but no file as one.
func (h *host) hide(pid int) {
	require.NoError(h.t, os.Remove(h.space(pid)))
	require.NoError(h.t, os.WriteFile(h.space(pid), nil, 0o600))
}

func (h *host) space(pid int) string { return filepath.Join(h.proc, strconv.Itoa(pid), "ns", "net") }

// socket gives a process one more.
func (h *host) socket(pid int, state socketState, local, remote string, unanswered int) {
	h.inode++
	require.NoError(h.t, os.Symlink(fmt.Sprintf("socket:[%d]", h.inode), filepath.Join(h.proc, strconv.Itoa(pid), "fd", strconv.Itoa(h.inode))))
	h.row(h.in[pid], state, local, remote, unanswered, h.inode)
}

func (h *host) row(network uint32, state socketState, local, remote string, unanswered, inode int) {
	end := func(text string) string {
		b := at(text).Addr().As4()
		return fmt.Sprintf("%02X%02X%02X%02X:%04X", b[3], b[2], b[1], b[0], at(text).Port())
	}
	h.rows[network] += fmt.Sprintf("0: %s %s %02X 0:0 00:0 %08X 0 0 %d 1 0\n", end(local), end(remote), uint8(state), unanswered, inode)
	h.write()
}

func (h *host) write() {
	for pid, network := range h.in {
		require.NoError(h.t, os.WriteFile(filepath.Join(h.proc, strconv.Itoa(pid), "net", "tcp"), []byte(titles+h.rows[network]), 0o600))
	}
}

// without takes all connections of a name space away.
func (h *host) without(network uint32) {
	h.rows[network] = ""
	h.write()
}

// known is what the programs were told.
type known struct {
	ports map[uint16]bool
	found map[bpf.Ends]bpf.Found
}

func (h *host) sockets(etcds ...int) (*sockets, *known) {
	k := &known{}
	s := newSockets(h.proc, &bpf.Network{}, func() []int { return etcds })
	s.know = func(ports map[uint16]bool, found map[bpf.Ends]bpf.Found) error { *k = known{ports, found}; return nil }
	return s, k
}

// looked are the records of a look.
func looked(t *testing.T, s *sockets) (all []*bpf.Record) {
	require.NoError(t, s.look(func(r *bpf.Record) { all = append(all, r) }))
	return all
}

// event is what the programs tell: no name space, and no process of what was accepted.
func event(operation uint8, role bpf.Role, socket uint64, pid int, local, remote string) *bpf.Record {
	return &bpf.Record{Kind: bpf.KindConnection, Operation: operation, PID: uint32(pid), Time: uint64(monotonic()), Connection: &bpf.Connection{
		Role: role, Socket: socket, Established: true, Local: at(local), Remote: at(remote), Process: []byte("thread"),
	}}
}

const kernels = 0xffff888000000000 // an address

func TestWhatIsOpenIsFoundWithWhoseItIs(t *testing.T) {
	h := newHost(t)
	h.process(7, 1, "etcd")
	h.process(8, 1, "kubectl")
	h.process(9, 1, "sshd")
	h.socket(7, stateListen, "0.0.0.0:2379", "0.0.0.0:0", 0)
	h.socket(9, stateListen, "0.0.0.0:22", "0.0.0.0:0", 0)
	h.socket(7, 1, "127.0.0.1:2379", "127.0.0.1:50000", 0)
	h.socket(8, 1, "127.0.0.1:50000", "127.0.0.1:2379", 0)
	h.socket(7, 1, "10.0.0.1:50001", "10.0.0.2:2380", 3)
	h.socket(7, stateSynSent, "10.0.0.1:50002", "10.0.0.3:2380", 0)
	h.socket(9, 1, "10.0.0.1:22", "10.0.0.9:50000", 0)
	s, k := h.sockets(7)
	s.glances = true
	assert.Len(t, looked(t, s), 2, "of callers all processes have to be asked")
	s.glances = false
	type is struct {
		role       bpf.Role
		pid        uint32
		name       string
		unanswered uint32
	}
	found, ids := map[string]is{}, map[uint64]bool{}
	for range 2 {
		for _, r := range looked(t, s) {
			c := r.Connection
			assert.Equal(t, uint32(1), c.Network)
			found[c.Local.String()] = is{c.Role, r.PID, string(c.Process), c.Unanswered}
			ids[c.Socket] = true
		}
	}
	assert.Equal(t, map[string]is{
		"127.0.0.1:2379":  {bpf.RoleAccepted, 7, "", 0},
		"127.0.0.1:50000": {bpf.RoleCaller, 8, "kubectl", 0},
		"10.0.0.1:50001":  {bpf.RoleDialed, 7, "", 3},
	}, found)
	assert.Len(t, ids, 3, "the same each time")
	assert.Equal(t, map[uint16]bool{2379: true}, k.ports)
	assert.Len(t, k.found, 3, "the programs have not seen them begin")

	closed := event(bpf.ConnectionClosed, bpf.RoleDialed, k.found[bpf.Ends{Local: at("10.0.0.1:50001"), Remote: at("10.0.0.2:2380")}].Socket, 7, "0.0.0.0:0", "10.0.0.2:2380")
	require.True(t, s.complete(closed, time.Now()))
	assert.Equal(t, at("10.0.0.1:50001"), closed.Connection.Local)
	require.NoError(t, s.forget(7))
	assert.Empty(t, k.ports)
	assert.Len(t, k.found, 1, "of the caller, which is still there")
}

func TestOneThatIsToldAndFoundIsTheSameInWhateverOrder(t *testing.T) {
	h := newHost(t)
	h.process(7, 1, "etcd")
	h.socket(7, stateListen, "127.0.0.1:2379", "0.0.0.0:0", 0)
	s, k := h.sockets(7)
	require.Empty(t, looked(t, s))
	h.socket(7, 1, "127.0.0.1:2379", "127.0.0.1:50000", 0)
	h.socket(7, 1, "127.0.0.1:2379", "127.0.0.1:50001", 0)
	told := event(bpf.ConnectionOpened, bpf.RoleAccepted, kernels, 0, "127.0.0.1:2379", "127.0.0.1:50000")
	require.True(t, s.complete(told, time.Now()))
	ids := map[netip.AddrPort]uint64{}
	for _, r := range looked(t, s) {
		ids[r.Connection.Remote] = r.Connection.Socket
	}
	assert.Equal(t, told.Connection.Socket, ids[at("127.0.0.1:50000")])
	assert.Len(t, k.found, 1, "the programs know the other one")
	late := event(bpf.ConnectionOpened, bpf.RoleAccepted, kernels+1, 0, "127.0.0.1:2379", "127.0.0.1:50001")
	require.True(t, s.complete(late, time.Now()))
	assert.Equal(t, ids[at("127.0.0.1:50001")], late.Connection.Socket)
	for socket, id := range map[uint64]uint64{kernels: told.Connection.Socket, kernels + 1: late.Connection.Socket} {
		closed := event(bpf.ConnectionClosed, bpf.RoleAccepted, socket, 0, "127.0.0.1:2379", "127.0.0.1:50000")
		require.True(t, s.complete(closed, time.Now()))
		assert.Equal(t, id, closed.Connection.Socket)
		assert.EqualValues(t, 7, closed.PID)
	}
	assert.Empty(t, s.open)
	assert.Empty(t, s.ids)
	assert.Empty(t, s.kernels)

	require.Len(t, looked(t, s), 2, "of which the beginnings were lost")
	lost := event(bpf.ConnectionClosed, bpf.RoleAccepted, kernels+2, 0, "127.0.0.1:2379", "127.0.0.1:50000")
	require.True(t, s.complete(lost, time.Now()))
	assert.Len(t, s.open, 1)
}

// As with kind: each node is a container, and its etcd listens at the same port of
// loopback.
func TestOfTwoEtcdsAtTheSamePortItIsTheOneThatHasTheConnection(t *testing.T) {
	h := newHost(t)
	for pid, network := range map[int]uint32{7: 1, 8: 2} {
		h.process(pid, network, "etcd")
		h.socket(pid, stateListen, "127.0.0.1:2379", "0.0.0.0:0", 0)
	}
	h.process(9, 3, "no etcd that we trace") // and it listens there too
	s, _ := h.sockets(7, 8)
	require.Empty(t, looked(t, s))
	h.socket(8, 1, "127.0.0.1:2379", "127.0.0.1:50000", 0)
	is := event(bpf.ConnectionOpened, bpf.RoleAccepted, kernels, 0, "127.0.0.1:2379", "127.0.0.1:50000")
	require.True(t, s.complete(is, time.Now()))
	assert.EqualValues(t, 8, is.PID)
	assert.EqualValues(t, 2, is.Connection.Network)

	other := event(bpf.ConnectionOpened, bpf.RoleAccepted, kernels+1, 0, "127.0.0.1:2379", "127.0.0.1:50001")
	assert.False(t, s.complete(other, time.Now()), "it is neither's")
	closed := event(bpf.ConnectionClosed, bpf.RoleAccepted, kernels+1, 0, "127.0.0.1:2379", "127.0.0.1:50001")
	assert.False(t, s.complete(closed, time.Now()))

	h.socket(7, stateTimeWait, "127.0.0.1:50002", "127.0.0.1:2379", 0)
	h.socket(8, 1, "127.0.0.1:2379", "127.0.0.1:50005", 0)
	require.Contains(t, s.readAt, uint32(2), "for the first one")
	s.readAt[2] = monotonic() + int64(time.Minute) // however slow this machine is
	soon := event(bpf.ConnectionOpened, bpf.RoleAccepted, kernels+5, 0, "127.0.0.1:2379", "127.0.0.1:50005")
	assert.False(t, s.complete(soon, time.Now()), "the tables were read just now")
	clear(s.readAt)
	short := event(bpf.ConnectionOpened, bpf.RoleAccepted, kernels+2, 0, "127.0.0.1:2379", "127.0.0.1:50002")
	require.True(t, s.complete(short, time.Now()), "its client has closed first")
	assert.EqualValues(t, 7, short.PID)
	h.process(10, 2, "etcdctl")
	call := event(bpf.ConnectionOpened, bpf.RoleCaller, kernels+3, 10, "127.0.0.1:50004", "127.0.0.1:2379")
	require.True(t, s.complete(call, time.Now()))
	reset := event(bpf.ConnectionOpened, bpf.RoleAccepted, kernels+4, 0, "127.0.0.1:2379", "127.0.0.1:50004")
	require.True(t, s.complete(reset, time.Now()), "it has ended, but its caller was told")
	assert.EqualValues(t, 8, reset.PID)
	half := event(bpf.ConnectionHalfOpen, bpf.RoleAccepted, 0, 0, "127.0.0.1:2379", "127.0.0.1:50003")
	assert.False(t, s.complete(half, time.Now()))
	h.socket(7, stateSynRecv, "127.0.0.1:2379", "127.0.0.1:50003", 0)
	half.Time = uint64(monotonic())
	clear(s.readAt)
	require.True(t, s.complete(half, time.Now()))
	assert.EqualValues(t, 7, half.PID)
}

// As with pods: etcd listens at all addresses, of which its name space has its own.
func TestOfTwoEtcdsAtTheSamePortItIsTheOneThatHasTheAddress(t *testing.T) {
	h := newHost(t)
	for pid, network := range map[int]uint32{7: 1, 8: 2} {
		h.process(pid, network, "etcd")
		h.socket(pid, stateListen, "0.0.0.0:2379", "0.0.0.0:0", 0)
		h.socket(pid, stateListen, fmt.Sprintf("10.0.0.%d:2380", pid), "0.0.0.0:0", 0)
	}
	s, _ := h.sockets(7, 8)
	require.Empty(t, looked(t, s))
	for _, pid := range []uint32{7, 8} {
		gone := event(bpf.ConnectionOpened, bpf.RoleAccepted, kernels+uint64(pid), 0, fmt.Sprintf("10.0.0.%d:2379", pid), "10.0.0.9:50000")
		require.True(t, s.complete(gone, time.Now()), "it has ended, but its address has not")
		assert.Equal(t, pid, gone.PID)
	}
	strange := event(bpf.ConnectionOpened, bpf.RoleAccepted, kernels, 0, "10.0.0.10:2379", "10.0.0.9:50000")
	assert.False(t, s.complete(strange, time.Now()))
}

func TestACallerOfAnotherNameSpaceIsKnownAsLongAsItsConnectionIs(t *testing.T) {
	h := newHost(t)
	h.process(7, 1, "etcd")
	h.socket(7, stateListen, "0.0.0.0:2379", "0.0.0.0:0", 0)
	h.process(8, 2, "apiserver")
	s, _ := h.sockets(7)
	require.Empty(t, looked(t, s))
	told := event(bpf.ConnectionOpened, bpf.RoleCaller, kernels, 8, "10.0.0.2:50000", "10.0.0.1:2379")
	require.True(t, s.complete(told, time.Now()))
	assert.Equal(t, "apiserver", string(told.Connection.Process), "not the name of its thread")
	assert.EqualValues(t, 2, told.Connection.Network)
	h.socket(8, 1, "10.0.0.2:50000", "10.0.0.1:2379", 0)
	require.Len(t, looked(t, s), 1)
	h.without(2)
	assert.Empty(t, looked(t, s))

	gone := event(bpf.ConnectionOpened, bpf.RoleCaller, kernels+1, 99, "10.0.0.2:50001", "10.0.0.1:2379")
	require.True(t, s.complete(gone, time.Now()))
	assert.Equal(t, "thread", string(gone.Connection.Process), "its process has ended")
}

func TestWhoseEndWasLostIsForgotten(t *testing.T) {
	h := newHost(t)
	h.process(7, 1, "etcd")
	h.socket(7, stateListen, "0.0.0.0:2379", "0.0.0.0:0", 0)
	s, _ := h.sockets(7)
	require.Empty(t, looked(t, s))
	old := event(bpf.ConnectionOpened, bpf.RoleAccepted, kernels, 0, "127.0.0.1:2379", "127.0.0.1:50000")
	require.True(t, s.complete(old, time.Now().Add(-2*lostAfter)))
	again := event(bpf.ConnectionOpened, bpf.RoleAccepted, kernels+1, 0, "127.0.0.1:2379", "127.0.0.1:50000")
	require.True(t, s.complete(again, time.Now().Add(-2*lostAfter)))
	assert.NotEqual(t, old.Connection.Socket, again.Connection.Socket, "another one between these ends")
	assert.Len(t, s.open, 1)
	require.Empty(t, looked(t, s))
	assert.Empty(t, s.open)
	assert.Empty(t, s.kernels)
}

// The table of sockets may be read by everybody, which name space it is of not.
func TestWhoseNameSpaceIsNotKnownOrAnotherOneShowsNothingTwice(t *testing.T) {
	h := newHost(t)
	h.process(7, 1, "etcd")
	h.socket(7, stateListen, "0.0.0.0:2379", "0.0.0.0:0", 0)
	h.socket(7, 1, "10.0.0.1:2379", "10.0.0.9:50000", 0)
	h.process(8, 1, "hidden")
	h.hide(8)
	h.process(9, 2, "of a container, whose id is used again")
	s, _ := h.sockets(7)
	require.Len(t, looked(t, s), 1)
	for pid, local := range map[int]string{8: "10.0.0.1:50001", 9: "10.0.0.2:50002"} {
		told := event(bpf.ConnectionOpened, bpf.RoleCaller, kernels+uint64(pid), pid, local, "10.0.0.1:2379")
		require.True(t, s.complete(told, time.Now()))
	}
	h.enter(9, 1)
	assert.Len(t, looked(t, s), 1)
}

func TestWhatEtcdHasNotAcceptedYetStaysTheSame(t *testing.T) {
	h := newHost(t)
	h.process(7, 1, "etcd")
	h.socket(7, stateListen, "0.0.0.0:2379", "0.0.0.0:0", 0)
	s, _ := h.sockets(7)
	require.Empty(t, looked(t, s))
	told := event(bpf.ConnectionOpened, bpf.RoleAccepted, kernels, 0, "10.0.0.1:2379", "10.0.0.9:50000")
	require.True(t, s.complete(told, time.Now().Add(-2*lostAfter)))
	h.row(1, 1, "10.0.0.1:2379", "10.0.0.9:50000", 0, 0)
	require.Empty(t, looked(t, s), "it is no file of etcd")
	closed := event(bpf.ConnectionClosed, bpf.RoleAccepted, kernels, 0, "10.0.0.1:2379", "10.0.0.9:50000")
	require.True(t, s.complete(closed, time.Now()))
	assert.Equal(t, told.Connection.Socket, closed.Connection.Socket)
}

func TestASocketThatTheKernelUsesAgainIsTheNewConnection(t *testing.T) {
	h := newHost(t)
	h.process(7, 1, "etcd")
	h.socket(7, stateListen, "0.0.0.0:2379", "0.0.0.0:0", 0)
	s, _ := h.sockets(7)
	var last *bpf.Record
	for _, remote := range []string{"10.0.0.9:50000", "10.0.0.9:50001"} { // the end of the first is lost
		h.socket(7, 1, "10.0.0.1:2379", remote, 0)
		require.NotEmpty(t, looked(t, s))
		last = event(bpf.ConnectionOpened, bpf.RoleAccepted, kernels, 0, "10.0.0.1:2379", remote)
		require.True(t, s.complete(last, time.Now()))
	}
	s.drop(s.ids[place{1, bpf.Ends{Local: at("10.0.0.1:2379"), Remote: at("10.0.0.9:50000")}}])
	closed := event(bpf.ConnectionClosed, bpf.RoleAccepted, kernels, 0, "10.0.0.1:2379", "10.0.0.9:50001")
	require.True(t, s.complete(closed, time.Now()))
	assert.Equal(t, last.Connection.Socket, closed.Connection.Socket)
	assert.Empty(t, s.kernels)
}

func TestWhereNotAllNameSpacesCanBeReadAConnectionIsLookedForInThatOfEtcd(t *testing.T) {
	h := newHost(t)
	h.process(7, 1, "etcd")
	h.socket(7, stateListen, "0.0.0.0:2379", "0.0.0.0:0", 0)
	h.process(8, 1, "sshd")
	require.NoError(t, os.MkdirAll(filepath.Join(h.proc, "9"), 0o700)) // it ends just now
	s, _ := h.sockets(7)
	owned := func() bool {
		require.Empty(t, looked(t, s))
		return s.complete(event(bpf.ConnectionHalfOpen, bpf.RoleAccepted, 0, 0, "10.0.0.2:2379", "10.0.0.9:50000"), time.Now())
	}
	assert.True(t, owned(), "there is no other one")
	h.hide(8)
	assert.False(t, owned())
}
