// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"net/url"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

// connection is one of an etcd that is traced.
type connection struct {
	bpf.Connection // as last told
	of             *process
	from           from
	peer           *peer  // nil: a client, or it is not known which member
	older          bool   // than the tracing: it counts from there
	found          bool   // among etcd's open files
	timed          uint64 // received when its round trip was last counted
	told           time.Time
}

// from is who is at the other end, of those that are told.
type from = metadata.AttributeEtcdNetworkPeerType

const (
	fromClient = metadata.AttributeEtcdNetworkPeerTypeClient
	fromMember = metadata.AttributeEtcdNetworkPeerTypeMember
	fromOther  = from(0) // such as a scrape of a port for metrics, or etcd's own gateway
)

// end is how a connection ended.
type end = metadata.AttributeEtcdNetworkEnd

const (
	endClosed   = metadata.AttributeEtcdNetworkEndClosed
	endReset    = metadata.AttributeEtcdNetworkEndReset
	endTimedOut = metadata.AttributeEtcdNetworkEndTimedOut
	endSilent   = metadata.AttributeEtcdNetworkEndNoAnswer // it has not, but nothing is answered
	endOther    = metadata.AttributeEtcdNetworkEndOther
)

func endOf(err syscall.Errno) end {
	switch err {
	case 0, syscall.EPIPE: // it was shut down while data came
		return endClosed
	case syscall.ECONNRESET:
		return endReset
	case syscall.ETIMEDOUT:
		return endTimedOut
	default:
		return endOther
	}
}

// opened begins to follow a connection. One that is found before all are known is
// older than the tracing, and nobody knows since when it has moved what it has; one
// that is found later was not told, because the ring was full.
func (t *tracer) opened(p *process, r *bpf.Record, now time.Time) *connection {
	c := &connection{of: p, older: r.Operation == bpf.ConnectionFound && !p.looked}
	c.Role, c.Socket, c.Network, c.Local, c.Remote = r.Connection.Role, r.Connection.Socket, r.Connection.Network, r.Connection.Local, r.Connection.Remote
	if c.older {
		c.Received, c.Sent, c.Retransmitted, c.timed = r.Connection.Received, r.Connection.Sent, r.Connection.Retransmitted, r.Connection.Received
	}
	t.network.open[c.Socket] = c
	delete(t.network.halfOpen, endsOf(c.Network, c.Remote, c.Local))
	t.classify(c)
	if c.from == fromOther && c.Role == bpf.RoleDialed {
		t.network.members.dialed(p, c.Remote)
	}
	if c.peer != nil && c.Role == bpf.RoleDialed { // who has only come may be anybody at that address
		t.reached(p, c.peer, now)
	}
	return c
}

// closed ends a connection; c is nil if it was never established, or its beginning
// was lost.
func (t *tracer) closed(p *process, c *connection, last *bpf.Connection, now time.Time) {
	if c != nil {
		c.move(last, now)
		t.drop(c, endOf(last.Error), now)
		return
	}
	if last.Role != bpf.RoleDialed || last.Established {
		return
	}
	members := &t.network.members
	switch m := members.listening(last.Remote); {
	case m == nil:
		members.dialed(p, last.Remote)
	case m.id != p.member:
		p.neverUp[dialFailed(last.Error)]++
		p.peer(m).failed(now, endOf(last.Error))
	}
}

func (t *tracer) drop(c *connection, how end, now time.Time) {
	delete(t.network.open, c.Socket)
	t.network.ended[placeOf(&c.Connection)] = now
	c.leave()
	traffic := c.of.traffic[c.from]
	if traffic == nil {
		return
	}
	c.time()
	traffic.closed[how]++
	if c.peer != nil && c.peer.connections == 0 {
		c.peer.suspect(now, how)
		t.network.members.stale = true // it may have been removed
	}
}

// classify finds out who is at the other end. What a connection has moved before that
// was known counts too.
func (t *tracer) classify(c *connection) {
	before := c.from
	c.leave()
	c.from, c.peer = t.other(c)
	c.enter()
	traffic := c.of.traffic[c.from]
	if before != fromOther || traffic == nil || c.older {
		return
	}
	traffic.opened++
	c.count(c.Received, c.Sent, uint64(c.Retransmitted), c.told)
}

// comes tells whether etcd has accepted it, from a client or a member.
func (c *connection) comes() bool { return c.Role == bpf.RoleAccepted && c.from != fromOther }

// enter has process and peer know of the connection.
func (c *connection) enter() {
	if c.peer != nil {
		c.peer.connections++
	}
	if c.comes() {
		c.of.accepted[c.Remote] = append(c.of.accepted[c.Remote], c)
	}
}

// leave undoes enter.
func (c *connection) leave() {
	if c.peer != nil {
		c.peer.connections--
	}
	if !c.comes() {
		return
	}
	left := slices.DeleteFunc(c.of.accepted[c.Remote], func(of *connection) bool { return of == c })
	if len(left) == 0 {
		delete(c.of.accepted, c.Remote)
		return
	}
	c.of.accepted[c.Remote] = left
}

func (t *tracer) other(c *connection) (from, *peer) {
	members, p := &t.network.members, c.of
	switch from := t.comesTo(p, c.Local.Port()); { // also of one that was found before the port was known
	case from == fromMember:
		return fromMember, p.peer(members.only(c.Remote.Addr(), p.member))
	case from == fromClient || c.Role == bpf.RoleAccepted:
		return from, nil
	}
	m := members.listening(c.Remote)
	switch {
	case m != nil && m.id != p.member:
		return fromMember, p.peer(m)
	case m == nil && members.unresolved(c.Remote.Port()):
		return fromMember, nil
	default:
		return fromOther, nil
	}
}

// comesTo is who connects to a port of a process.
func (t *tracer) comesTo(p *process, port uint16) from {
	switch {
	case listens(p.PeerURLs, port):
		return fromMember
	case listens(p.ClientURLs, port), t.network.members.serves(p.member, port):
		return fromClient
	default:
		return fromOther
	}
}

func listens(urls []string, port uint16) bool {
	return slices.ContainsFunc(urls, func(text string) bool {
		u, err := url.Parse(text)
		return err == nil && u.Port() == strconv.Itoa(int(port))
	})
}

// move takes what a connection has moved until now.
func (c *connection) move(now *bpf.Connection, at time.Time) {
	c.told = at
	received, sent, again := since(c.Received, now.Received), since(c.Sent, now.Sent), since(uint64(c.Retransmitted), uint64(now.Retransmitted))
	c.Received, c.Sent, c.Retransmitted = c.Received+received, c.Sent+sent, c.Retransmitted+uint32(again)
	c.RTT, c.Unanswered = now.RTT, now.Unanswered
	c.count(received, sent, again, at)
}

// answered notes that the other end has answered what was sent again in vain.
func (c *connection) answered(now *bpf.Connection) {
	if c.peer != nil && c.Unanswered >= bpf.Stalled && now.Unanswered == 0 {
		c.peer.answered++
	}
}

// since is what a counter went up by; a look and a record of the ring may come in
// the other order than they were made.
func since(before, now uint64) uint64 { return max(now, before) - before }

func (c *connection) count(received, sent, again uint64, at time.Time) {
	traffic := c.of.traffic[c.from]
	if traffic == nil {
		return
	}
	traffic.moved(received, sent, again)
	if c.peer != nil {
		c.peer.moved(received, sent, again)
	}
	if c.from == fromClient && c.of.clients != nil {
		c.of.clients.add(c.Remote.Addr(), received, sent, at)
	}
}

// time counts the round trip of a connection that was used since the last time.
func (c *connection) time() {
	if traffic := c.of.traffic[c.from]; traffic != nil && c.Received > c.timed && c.RTT > 0 {
		traffic.rtt.observe(c.RTT.Seconds())
		c.timed = c.Received
	}
}
