// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/discovery"
)

func at(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }

var spread = []member{
	{id: 1, name: "n1", peers: []netip.AddrPort{at("10.0.0.1:2380")}, clients: []netip.AddrPort{at("10.0.0.1:2379")}},
	{id: 2, name: "n2", peers: []netip.AddrPort{at("10.0.0.2:2380")}, clients: []netip.AddrPort{at("10.0.0.2:2379")}},
	{id: 3, name: "n3", peers: []netip.AddrPort{at("10.0.0.3:2380"), at("[fd00::3]:2380")}},
	{id: 4, name: "n4", peers: []netip.AddrPort{at("10.0.0.3:3380")}}, // on the same host
	{id: 5, name: "n5", unknown: []uint16{4380}},                      // at a name that is known elsewhere
}

// newNetworking is a tracer that follows connections, and has no kernel.
func newNetworking() (*tracer, *process) {
	p := &process{
		Process: discovery.Process{PID: 7, PeerURLs: []string{"http://0.0.0.0:2380"}, ClientURLs: []string{"https://127.0.0.1:2379", "unix:///run/etcd.sock"}},
		member:  1, verified: true, looked: true, traffic: newTraffic(), peers: map[uint64]*peer{}, accepted: map[netip.AddrPort][]*connection{}, clients: newClients(3),
	}
	t := newMeasuring(Settings{})
	t.network = newNetwork(nil)
	t.network.lookup = func(func(*bpf.Record)) error { return nil }
	t.network.members.all = spread
	t.processes = map[int]*process{7: p}
	p.neverUp = newFailures(p)
	return t, p
}

// A look is newer than what is in the ring.
func TestASocketThatIsFoundToBeUsedAgainIsTwoConnectionsAndNoMore(t *testing.T) {
	tr, p := newNetworking()
	tell := func(operation uint8, remote string) {
		tr.connected(toldOf(operation, bpf.Connection{Role: bpf.RoleAccepted, Socket: 1, Local: at("10.0.0.1:2379"), Remote: at(remote)}), now)
	}
	tell(bpf.ConnectionOpened, "10.0.0.9:50000")
	tell(bpf.ConnectionFound, "10.0.0.9:50001")
	tell(bpf.ConnectionClosed, "10.0.0.9:50000")
	tell(bpf.ConnectionOpened, "10.0.0.9:50001")
	assert.EqualValues(t, 2, p.traffic[fromClient].opened)
	assert.Equal(t, map[end]uint64{endClosed: 1}, p.traffic[fromClient].closed)
	assert.Len(t, tr.network.open, 1)
	tell(bpf.ConnectionClosed, "10.0.0.9:50001")
	tell(bpf.ConnectionFound, "10.0.0.9:50001") // the kernel has not noted it yet
	assert.Empty(t, tr.network.open)
	assert.EqualValues(t, 2, p.traffic[fromClient].opened)
}

func TestWhoIsAtTheOtherEndIsKnownByPortsAndByTheMemberList(t *testing.T) {
	for name, tc := range map[string]struct {
		role          bpf.Role
		local, remote string
		from          from
		peer          string
	}{
		"a client":                             {role: bpf.RoleAccepted, local: "10.0.0.1:2379", remote: "10.0.0.9:50000", from: fromClient},
		"a member on the port for clients":     {role: bpf.RoleAccepted, local: "10.0.0.1:2379", remote: "10.0.0.2:50000", from: fromClient},
		"a member that dialled":                {role: bpf.RoleAccepted, local: "10.0.0.1:2380", remote: "10.0.0.2:50000", from: fromMember, peer: "n2"},
		"one of two on a host, or another":     {role: bpf.RoleAccepted, local: "10.0.0.1:2380", remote: "10.0.0.3:50000", from: fromMember},
		"a member at its other address":        {role: bpf.RoleAccepted, local: "[fd00::1]:2380", remote: "[fd00::3]:50000", from: fromMember, peer: "n3"},
		"a stranger on the port for members":   {role: bpf.RoleAccepted, local: "10.0.0.1:2380", remote: "10.0.0.9:50000", from: fromMember},
		"a port of its own for metrics":        {role: bpf.RoleAccepted, local: "10.0.0.1:2381", remote: "10.0.0.9:50000", from: fromOther},
		"a member that was dialled":            {role: bpf.RoleDialed, local: "10.0.0.1:50000", remote: "10.0.0.3:3380", from: fromMember, peer: "n4"},
		"itself, through its gateway":          {role: bpf.RoleDialed, local: "127.0.0.1:50000", remote: "127.0.0.1:2379", from: fromOther},
		"itself, as a member":                  {role: bpf.RoleDialed, local: "10.0.0.1:50000", remote: "10.0.0.1:2380", from: fromOther},
		"somebody who is no member, or is new": {role: bpf.RoleDialed, local: "10.0.0.1:50000", remote: "10.0.0.5:2380", from: fromOther},
		"a member at a name that is not known": {role: bpf.RoleDialed, local: "10.0.0.1:50000", remote: "10.0.0.5:4380", from: fromMember},
		"found before the port was known":      {role: bpf.RoleDialed, local: "10.0.0.1:2379", remote: "10.0.0.9:50000", from: fromClient},
	} {
		t.Run(name, func(t *testing.T) {
			tr, p := newNetworking()
			c := &connection{of: p}
			c.Role, c.Local, c.Remote = tc.role, at(tc.local), at(tc.remote)
			tr.classify(c)
			assert.Equal(t, tc.from, c.from)
			if tc.peer == "" {
				assert.Nil(t, c.peer)
			} else if assert.NotNil(t, c.peer) {
				assert.Equal(t, tc.peer, c.peer.name)
				assert.Equal(t, 1, c.peer.connections)
			}
		})
	}
}

func toldOf(operation uint8, c bpf.Connection) *bpf.Record {
	c.Established = true
	return &bpf.Record{Kind: bpf.KindConnection, Operation: operation, PID: 7, Connection: &c}
}

func TestWhatAConnectionMovesCountsOnceInWhateverOrderItIsTold(t *testing.T) {
	tr, p := newNetworking()
	c := bpf.Connection{Role: bpf.RoleAccepted, Socket: 1, Local: at("10.0.0.1:2379"), Remote: at("10.0.0.9:50000")}
	step := func(operation uint8, received, sent uint64, again uint32) {
		c.Received, c.Sent, c.Retransmitted, c.RTT = received, sent, again, time.Millisecond
		tr.connected(toldOf(operation, c), now)
	}
	step(bpf.ConnectionOpened, 0, 0, 0)
	step(bpf.ConnectionFound, 100, 50, 1)
	step(bpf.ConnectionFound, 90, 40, 0) // it was read before
	step(bpf.ConnectionFound, 200, 70, 1)
	c.Error = syscall.ECONNRESET
	step(bpf.ConnectionClosed, 300, 80, 2)
	step(bpf.ConnectionClosed, 300, 80, 2) // of nobody
	got := p.traffic[fromClient]
	assert.EqualValues(t, 1, got.opened)
	assert.Equal(t, map[end]uint64{endReset: 1}, got.closed)
	assert.EqualValues(t, []uint64{300, 80, 2}, []uint64{got.received, got.sent, got.retransmitted})
	assert.EqualValues(t, 1, total(got.rtt.counts), "at its end")
	assert.Empty(t, tr.network.open)
	assert.Empty(t, p.accepted)
}

func TestAConnectionThatIsOlderThanTheTracingCountsFromThen(t *testing.T) {
	tr, p := newNetworking()
	p.looked = false
	c := bpf.Connection{Role: bpf.RoleAccepted, Socket: 1, Local: at("10.0.0.1:2379"), Remote: at("10.0.0.9:50000"), Received: 1000}
	tr.connected(toldOf(bpf.ConnectionFound, c), now)
	p.looked = true
	c.Received = 1100
	tr.connected(toldOf(bpf.ConnectionFound, c), now)
	assert.Zero(t, p.traffic[fromClient].opened)
	assert.EqualValues(t, 100, p.traffic[fromClient].received)
}

func TestAnAttemptThatIsRefusedIsNoConnection(t *testing.T) {
	tr, p := newNetworking()
	for _, remote := range []string{"10.0.0.2:2380", "10.0.0.5:2380", "127.0.0.1:2379"} {
		r := toldOf(bpf.ConnectionClosed, bpf.Connection{Role: bpf.RoleDialed, Socket: 1, Local: at("10.0.0.1:50000"), Remote: at(remote), Error: syscall.ECONNREFUSED})
		r.Connection.Established = false
		tr.connected(r, now)
	}
	assert.EqualValues(t, 1, p.neverUp[dialFailed(syscall.ECONNREFUSED)], "to a member")
	assert.Zero(t, p.traffic[fromMember].opened)
	assert.True(t, tr.network.members.stale, "who is it that etcd dials?")
}

// calls is what the kernel tells of a client's end. As in the kernel, a port that was
// dialled from is given back before the end is told.
func calls(tr *tracer, operation uint8, socket uint64, network uint32, from, to netip.AddrPort, pid uint32, name string) {
	if operation == bpf.ConnectionClosed {
		from = netip.AddrPortFrom(from.Addr(), 0)
	}
	r := toldOf(operation, bpf.Connection{Role: bpf.RoleCaller, Socket: socket, Network: network, Local: from, Remote: to, Process: []byte(name)})
	r.PID = pid
	tr.connected(r, now)
}

func TestACallerIsNamedOnlyIfEtcdHasAcceptedTheSameConnection(t *testing.T) {
	tr, p := newNetworking()
	client, here, elsewhere := at("10.0.0.1:50000"), at("10.0.0.1:2379"), at("10.0.0.2:2379")
	calls(tr, bpf.ConnectionOpened, 10, 1, client, elsewhere, 100, "other") // the same port, to another server
	assert.Zero(t, tr.caller(p, client))
	calls(tr, bpf.ConnectionOpened, 11, 1, client, here, 101, "etcdctl")
	assert.Zero(t, tr.caller(p, client), "etcd has not accepted it")
	tr.connected(toldOf(bpf.ConnectionOpened, bpf.Connection{Role: bpf.RoleAccepted, Socket: 12, Network: 2, Local: here, Remote: client}), now)
	assert.Equal(t, "etcdctl[101]", tr.caller(p, client).String(), "from another name space")
	calls(tr, bpf.ConnectionClosed, 99, 1, client, here, 102, "older")
	assert.Equal(t, "etcdctl[101]", tr.caller(p, client).String(), "the end of another one")
	calls(tr, bpf.ConnectionClosed, 11, 1, client, here, 101, "etcdctl")
	assert.Zero(t, tr.caller(p, client))
	tr.network.callers.sweep(now.Add(2 * lostAfter))
	assert.Empty(t, tr.network.callers.bySocket, "the end of the other was lost")
	assert.Empty(t, tr.network.callers.byEnds)
}

func TestWhereTwoCallersCouldBeTheClientNoneIsNamed(t *testing.T) {
	tr, p := newNetworking()
	p.ClientURLs = append(p.ClientURLs, "http://127.0.0.1:3379")
	accept := func(socket uint64, network uint32, local, remote netip.AddrPort) {
		tr.connected(toldOf(bpf.ConnectionOpened, bpf.Connection{Role: bpf.RoleAccepted, Socket: socket, Network: network, Local: local, Remote: remote}), now)
	}
	loopback, client := at("127.0.0.1:2379"), at("127.0.0.1:50000")
	calls(tr, bpf.ConnectionOpened, 1, 7, client, loopback, 101, "a")
	calls(tr, bpf.ConnectionOpened, 2, 8, client, loopback, 102, "b") // loopback of another name space
	accept(10, 7, loopback, client)
	assert.Equal(t, "a[101]", tr.caller(p, client).String())
	accept(11, 7, at("127.0.0.1:3379"), client) // the same port to another one of etcd
	assert.Zero(t, tr.caller(p, client), "the request does not tell to which")

	pod, here := at("10.244.0.5:40000"), at("10.0.0.1:2379")
	accept(12, 7, here, pod)
	calls(tr, bpf.ConnectionOpened, 3, 9, pod, here, 103, "c")
	assert.Equal(t, "c[103]", tr.caller(p, pod).String())
	calls(tr, bpf.ConnectionOpened, 4, 10, pod, here, 104, "d") // the same address in another network
	assert.Zero(t, tr.caller(p, pod))
	calls(tr, bpf.ConnectionClosed, 4, 10, pod, here, 104, "d")
	assert.Equal(t, "c[103]", tr.caller(p, pod).String())
}

func TestASocketThatTheKernelUsesAgainIsAnotherConnection(t *testing.T) {
	tr, p := newNetworking()
	c := bpf.Connection{Role: bpf.RoleAccepted, Socket: 1, Local: at("10.0.0.1:2379"), Remote: at("10.0.0.9:50000"), Received: 1000}
	tr.connected(toldOf(bpf.ConnectionOpened, c), now)
	c.Remote, c.Received = at("10.0.0.8:50000"), 10
	tr.connected(toldOf(bpf.ConnectionOpened, c), now) // the end of the first was lost
	assert.EqualValues(t, 2, p.traffic[fromClient].opened)
	assert.EqualValues(t, map[end]uint64{endOther: 1}, p.traffic[fromClient].closed)
	assert.EqualValues(t, 1010, p.traffic[fromClient].received)
	assert.Len(t, p.accepted, 1)
}

func TestWhatWasMovedBeforeAMemberIsKnownCountsForIt(t *testing.T) {
	tr, p := newNetworking()
	tr.network.members.all = spread[:1]
	c := bpf.Connection{Role: bpf.RoleDialed, Socket: 1, Local: at("10.0.0.1:50000"), Remote: at("10.0.0.2:2380")}
	tr.connected(toldOf(bpf.ConnectionOpened, c), now)
	assert.True(t, tr.network.members.stale, "who is it that etcd dials?")
	c.Received = 100
	tr.connected(toldOf(bpf.ConnectionFound, c), now)
	assert.Zero(t, p.traffic[fromMember].opened)
	tr.learnMembers(spread)
	assert.EqualValues(t, 1, p.traffic[fromMember].opened)
	assert.EqualValues(t, 100, p.traffic[fromMember].received)
	assert.EqualValues(t, 100, p.peers[2].received)
	assert.Equal(t, 1, p.peers[2].connections)
	tr.learnMembers(spread)
	assert.EqualValues(t, 1, p.traffic[fromMember].opened, "once")
	tr.learnMembers(spread[:1])
	assert.Empty(t, p.peers, "it was removed")
}

func TestAddressesOfAMemberListAreResolvedAndWhatCannotBeIsLeftOut(t *testing.T) {
	all := resolve(t.Context(), []*pb.Member{
		{ID: 1, Name: "n1", PeerURLs: []string{"https://127.0.0.1:2380", "http://[::1]:2380"}, ClientURLs: []string{"unix:///run/etcd.sock", "http://127.0.0.1:2379"}},
		{ID: 2, PeerURLs: []string{"http://nowhere.invalid:2380", "://", "http://10.0.0.1:99999"}},
	})
	require.Len(t, all, 2)
	assert.Equal(t, []netip.AddrPort{at("127.0.0.1:2380"), at("[::1]:2380")}, all[0].peers)
	assert.Equal(t, []netip.AddrPort{at("127.0.0.1:2379")}, all[0].clients)
	assert.Empty(t, all[1].peers)
}

func TestALookThatFailsIsLoggedOnceAndWhatItHasFoundCounts(t *testing.T) {
	tr, _ := newNetworking()
	core, logs := observer.New(zap.InfoLevel)
	tr.Logger = zap.New(core)
	var failure error
	tr.network.lookup = func(each func(*bpf.Record)) error {
		each(toldOf(bpf.ConnectionFound, bpf.Connection{Role: bpf.RoleAccepted, Socket: 1, Local: at("10.0.0.1:2379"), Remote: at("10.0.0.9:50000")}))
		return failure
	}
	tr.network.ended[place{}] = now.Add(-moment)
	failure = errors.New("no room")
	tr.look(now)
	tr.look(now)
	assert.Len(t, tr.network.open, 1)
	assert.Empty(t, tr.network.ended)
	assert.Equal(t, 1, logs.Len())
	failure = nil
	tr.look(now)
	tr.look(now)
	assert.Equal(t, 2, logs.Len(), "and that it is over")
}
