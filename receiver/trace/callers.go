// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"net/netip"
	"slices"
	"time"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
)

// callers are the processes of this host that have connections to etcd. The client of
// a request is known by its address and port; where etcd has accepted a connection
// from there, the caller at the other end of it is the client. etcd tells a request
// before it answers, so that end is still open then.
type callers struct {
	bySocket map[uint64]*caller
	byEnds   map[ends][]*caller // several: nobody can say which
}

type caller struct {
	logrecord.Process
	socket uint64
	ends   ends
	told   time.Time
}

// ends are both ends of a connection, the one that dialled first. Within a host an
// address is of one network name space only by custom, and loopback is of each.
type ends struct {
	network  uint32 // of loopback, else 0: both ends may be of different ones
	from, to netip.AddrPort
}

func endsOf(network uint32, from, to netip.AddrPort) ends {
	if !from.Addr().IsLoopback() && !to.Addr().IsLoopback() {
		network = 0
	}
	return ends{network, from, to}
}

// maxCallers is a bound for hosts on which something dials without end.
const maxCallers = 1 << 16

func newCallers() *callers {
	return &callers{bySocket: map[uint64]*caller{}, byEnds: map[ends][]*caller{}}
}

func (c *callers) take(r *bpf.Record, now time.Time) {
	known := c.bySocket[r.Connection.Socket]
	if r.Operation == bpf.ConnectionClosed {
		c.drop(known)
		return
	}
	of := logrecord.Process{Name: string(r.Connection.Process), PID: r.PID}
	at := endsOf(r.Connection.Network, r.Connection.Local, r.Connection.Remote)
	if known != nil && known.ends == at && known.Process == of {
		known.told = now
		return
	}
	c.drop(known) // its end was lost
	if len(c.bySocket) >= maxCallers {
		return
	}
	known = &caller{of, r.Connection.Socket, at, now}
	c.bySocket[known.socket] = known
	c.byEnds[at] = append(c.byEnds[at], known)
}

func (c *callers) drop(gone *caller) {
	if gone == nil {
		return
	}
	delete(c.bySocket, gone.socket)
	left := slices.DeleteFunc(c.byEnds[gone.ends], func(of *caller) bool { return of == gone })
	if len(left) == 0 {
		delete(c.byEnds, gone.ends)
		return
	}
	c.byEnds[gone.ends] = left
}

// sweep forgets those whose end was lost.
func (c *callers) sweep(now time.Time) {
	for _, of := range c.bySocket {
		if now.Sub(of.told) > lostAfter {
			c.drop(of)
		}
	}
}

// caller is the process of this host that a client of p is; the zero Process if it is
// of another host, or if it could be another one.
func (t *tracer) caller(p *process, client netip.AddrPort) logrecord.Process {
	accepted := p.accepted[client]
	if len(accepted) != 1 { // the same port of one host may lead to several of etcd's
		return logrecord.Process{}
	}
	if by := t.network.callers.byEnds[endsOf(accepted[0].Network, client, accepted[0].Local)]; len(by) == 1 {
		return by[0].Process
	}
	return logrecord.Process{}
}
