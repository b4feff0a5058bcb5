// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"maps"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/privilege"
)

// network follows the TCP connections of etcd. The kernel tells those that open and
// close, and what each has moved until then; what the open ones have moved is looked
// up when somebody wants to know. The kernel counts both anyway, so nobody pays for
// a packet.
type network struct {
	lookup   func(each func(*bpf.Record)) error // bpf.Network.Look
	forget   func(pid int) error                // bpf.Network.Forget
	drain    func(now time.Time)                // what the programs have told
	close    func() error
	sockets  *sockets               // nil: the programs read those of the kernel
	open     map[uint64]*connection // by the kernel's socket, or a number of sockets
	halfOpen map[ends]*halfOpen
	ended    map[place]time.Time // those of the last moment
	callers  *callers
	members  members
	blind    bool // the last lookup has failed
}

func newNetwork(programs *bpf.Network) *network {
	return &network{
		lookup: programs.Look, drain: func(time.Time) {}, forget: programs.Forget, close: programs.Close,
		open: map[uint64]*connection{}, halfOpen: map[ends]*halfOpen{}, ended: map[place]time.Time{}, callers: newCallers(),
	}
}

// openNetwork puts the programs for connections into the kernel. Where that fails,
// the rest of the road goes on.
func (t *tracer) openNetwork() {
	if !t.Network {
		return
	}
	programs, err := t.programs.FollowNetwork()
	if err != nil {
		t.Logger.Info("connections of etcd are not followed; requests are", zap.Error(privilege.Host{Proc: t.ProcRoot}.Explain(err)))
		return
	}
	t.network = newNetwork(programs)
	t.network.drain = t.drain
	if programs.NeedsSockets() {
		s := newSockets(t.proc(), programs, t.connecting)
		t.network.sockets, t.network.lookup, t.network.forget = s, s.look, s.forget
	}
	if lacks := programs.Lacks(); len(lacks) > 0 {
		t.Logger.Info("not all can be told about connections of etcd", zap.Strings("cannot_be_told", lacks))
	}
}

// connecting are the processes whose connections are followed.
func (t *tracer) connecting() (pids []int) {
	for pid, p := range t.processes {
		if p.traffic != nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// followConnections begins with those that a process has when it has passed its
// self-check.
func (t *tracer) followConnections(p *process, told []member) {
	if t.network == nil {
		return
	}
	t.learnMembers(told)
	p.traffic, p.peers, p.neverUp, p.accepted = newTraffic(), map[uint64]*peer{}, newFailures(p), map[netip.AddrPort][]*connection{}
	if t.Top > 0 {
		p.clients = newClients(t.Top)
	}
	for range 2 { // the first look may meet a connection before the port that it leads to
		t.look(time.Now())
	}
	p.looked = true
}

// forgetConnections ends all of a process that is forgotten.
func (t *tracer) forgetConnections(p *process) {
	if t.network == nil || p.traffic == nil {
		return
	}
	for _, c := range t.network.open {
		if c.of == p {
			delete(t.network.open, c.Socket)
		}
	}
	if err := t.network.forget(p.PID); err != nil {
		t.Logger.Warn("forgetting where a process listened", zap.Int("pid", p.PID), zap.Error(err))
	}
}

// connected takes what the kernel tells of a connection.
func (t *tracer) connected(r *bpf.Record, now time.Time) {
	n := t.network
	if n == nil || n.sockets != nil && r.Operation != bpf.ConnectionFound && !n.sockets.complete(r, now) {
		return
	}
	if r.Connection.Role == bpf.RoleCaller {
		n.callers.take(r, now)
		return
	}
	p := t.processes[int(r.PID)]
	if p == nil || p.traffic == nil {
		return
	}
	if r.Operation == bpf.ConnectionHalfOpen {
		t.notConfirmed(p, r.Connection, now)
		return
	}
	c := n.open[r.Connection.Socket]
	if c != nil && (c.of != p || c.Remote != r.Connection.Remote) {
		if r.Operation == bpf.ConnectionFound {
			c.found = true // the end of the one before is still in the ring, or was lost: then look drops it
			return
		}
		t.drop(c, endOther, now) // its end was lost, and the kernel uses the socket again
		c = nil
	}
	if r.Operation == bpf.ConnectionFound && c == nil && now.Sub(n.ended[placeOf(r.Connection)]) < moment {
		return
	}
	switch r.Operation {
	case bpf.ConnectionClosed:
		t.closed(p, c, r.Connection, now)
		return
	case bpf.ConnectionOpened, bpf.ConnectionFound:
		if c == nil {
			c = t.opened(p, r, now)
		}
	}
	if c == nil {
		return // its beginning was lost: the next look finds it
	}
	if r.Operation == bpf.ConnectionStalled && c.peer != nil {
		c.peer.suspect(now, endSilent)
	}
	if r.Operation == bpf.ConnectionStalled && n.sockets != nil {
		return // how often it was sent again, the next look tells
	}
	if r.Operation == bpf.ConnectionFound {
		c.found = true
		c.answered(r.Connection)
	}
	c.move(r.Connection, now)
}

// lostAfter is how long a connection is kept whose end was not told and that was an
// open file of etcd and is none any more: what is left to send may take a minute then
// (tcp_fin_timeout).
const lostAfter = 2 * time.Minute

// moment is for how long one may be found that has ended: the kernel tells that before
// it notes it.
const moment = time.Second

// glance is a look at the connections of etcd: by /proc, callers take all processes of the
// host.
func (t *tracer) glance(now time.Time) {
	if s := t.network.sockets; s != nil {
		s.glances = true
		defer func() { s.glances = false }()
	}
	t.look(now)
}

// look takes the state of all connections that are open now, and drops those whose
// end was lost.
func (t *tracer) look(now time.Time) {
	n := t.network
	if n == nil {
		return
	}
	maps.DeleteFunc(n.ended, func(_ place, at time.Time) bool { return now.Sub(at) >= moment })
	var found []bpf.Record
	err := n.lookup(func(r *bpf.Record) { found = append(found, *r) })
	switch {
	case err != nil && !n.blind:
		t.Logger.Warn("not all connections of etcd can be listed", zap.Error(err))
	case err == nil && n.blind:
		t.Logger.Info("the connections of etcd can be listed again")
	}
	n.blind = err != nil
	n.drain(now) // what is in the ring is older
	for i := range found {
		t.connected(&found[i], now)
	}
	if n.blind {
		return
	}
	for _, c := range n.open {
		if c.found && now.Sub(c.told) > lostAfter { // one of MPTCP is found by no look
			t.drop(c, endOther, now)
		}
	}
	n.callers.sweep(now)
}
