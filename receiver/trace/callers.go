// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"net/netip"
	"time"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
)

// callers are the processes of this host that have connections to etcd, by both ends
// of each. The client of a request is known by its address and port; where etcd has
// accepted the same connection, these tell whose they are. etcd serves a request
// before its answer is sent, so the client's end is still open when it is told.
type callers map[pair]*caller

type caller struct {
	logrecord.Process
	socket uint64
	told   time.Time
}

// pair is both ends of a connection, the one that dialled first.
type pair struct{ from, to netip.AddrPort }

// maxCallers is a bound for hosts on which something dials without end.
const maxCallers = 1 << 16

func (c callers) take(r *bpf.Record, now time.Time) {
	at := pair{r.Connection.Local, r.Connection.Remote}
	known := c[at]
	switch {
	case r.Operation == bpf.ConnectionClosed:
		if known != nil && known.socket == r.Connection.Socket {
			delete(c, at)
		}
	case known != nil && known.socket == r.Connection.Socket:
		known.told = now
	case known != nil || len(c) < maxCallers:
		c[at] = &caller{logrecord.Process{Name: string(r.Connection.Process), PID: r.PID}, r.Connection.Socket, now}
	}
}

// sweep forgets those whose end was lost.
func (c callers) sweep(now time.Time) {
	for at, of := range c {
		if now.Sub(of.told) > lostAfter {
			delete(c, at)
		}
	}
}

// caller is the process of this host that a client of p is; the zero Process if it is
// of another one, or is not known.
func (t *tracer) caller(p *process, client netip.AddrPort) logrecord.Process {
	if to, ok := p.accepted[client]; ok {
		if c := t.network.callers[pair{client, to}]; c != nil {
			return c.Process
		}
	}
	return logrecord.Process{}
}
