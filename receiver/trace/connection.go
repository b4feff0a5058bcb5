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
	peer           *peer // nil: a client, or it is not known which member
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

// opened begins to follow a connection. One that is found and was not told before is
// older than the tracing, or its record was lost.
func (t *tracer) opened(p *process, r *bpf.Record, now time.Time) *connection {
	c := &connection{of: p}
	c.Role, c.Socket, c.Local, c.Remote = r.Connection.Role, r.Connection.Socket, r.Connection.Local, r.Connection.Remote
	older := r.Operation == bpf.ConnectionFound && !p.looked
	if older { // nobody knows since when it has moved what it has
		c.Received, c.Sent, c.Retransmitted = r.Connection.Received, r.Connection.Sent, r.Connection.Retransmitted
	}
	t.network.open[c.Socket] = c
	t.classify(c)
	if c.from == fromClient {
		p.accepted[c.Remote] = c.Local
	}
	if traffic := p.traffic[c.from]; traffic != nil && !older {
		traffic.opened++
	}
	if c.peer != nil {
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
	if last.Role == bpf.RoleDialed && !last.Established {
		if t.network.members.listening(last.Remote) != nil {
			p.traffic[fromMember].failed++
		} else if !listens(p.ClientURLs, last.Remote.Port()) {
			t.network.members.stale = true
		}
	}
}

func (t *tracer) drop(c *connection, how end, now time.Time) {
	delete(t.network.open, c.Socket)
	if c.of.accepted[c.Remote] == c.Local {
		delete(c.of.accepted, c.Remote)
	}
	if traffic := c.of.traffic[c.from]; traffic != nil {
		traffic.closed[how]++
	}
	if c.peer != nil {
		c.peer.connections--
		if c.peer.connections == 0 {
			c.peer.suspect(now, how)
		}
	}
}

// classify finds out who is at the other end.
func (t *tracer) classify(c *connection) {
	before := c.peer
	c.from, c.peer = t.other(c)
	if before == c.peer {
		return
	}
	if before != nil {
		before.connections--
	}
	if c.peer != nil {
		c.peer.connections++
	}
}

func (t *tracer) other(c *connection) (from, *peer) {
	members, p := &t.network.members, c.of
	switch port := c.Local.Port(); {
	case listens(p.PeerURLs, port):
		c.Role = bpf.RoleAccepted
		return fromMember, p.peer(members.only(c.Remote.Addr(), p.member))
	case listens(p.ClientURLs, port), members.serves(p.member, port):
		c.Role = bpf.RoleAccepted
		return fromClient, nil
	case c.Role == bpf.RoleAccepted:
		return fromOther, nil
	}
	m := members.listening(c.Remote)
	switch {
	case m == nil:
		members.stale = members.stale || !listens(p.ClientURLs, c.Remote.Port())
		return fromOther, nil
	case m.id == p.member:
		return fromOther, nil
	default:
		return fromMember, p.peer(m)
	}
}

func listens(urls []string, port uint16) bool {
	return slices.ContainsFunc(urls, func(text string) bool {
		u, err := url.Parse(text)
		return err == nil && u.Port() == strconv.Itoa(int(port))
	})
}

// move counts what a connection has moved since it was last told.
func (c *connection) move(now *bpf.Connection, at time.Time) {
	c.told = at
	received, sent, again := since(c.Received, now.Received), since(c.Sent, now.Sent), since(uint64(c.Retransmitted), uint64(now.Retransmitted))
	c.Received, c.Sent, c.Retransmitted = c.Received+received, c.Sent+sent, c.Retransmitted+uint32(again)
	c.RTT = now.RTT
	traffic := c.of.traffic[c.from]
	if traffic == nil {
		return
	}
	traffic.moved(received, sent, again)
	if received > 0 && now.RTT > 0 {
		traffic.rtt.observe(now.RTT.Seconds())
	}
	if c.peer != nil {
		c.peer.moved(received, sent, again)
	}
	if c.from == fromClient && c.of.clients != nil {
		c.of.clients.add(c.Remote.Addr(), received, sent, at)
	}
}

// since is what a counter went up by; a look and a record of the ring may come in
// the other order than they were made.
func since(before, now uint64) uint64 { return max(now, before) - before }
