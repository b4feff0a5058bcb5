// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"net/netip"
	"slices"
	"time"

	"github.com/etcdreceiver/etcdreceiver/bpf"
)

// sockets stand in where the programs cannot read those of the kernel. The programs
// tell what happens to a connection at these ends, /proc in which name space that is:
// where etcd listens, what was open before, and which process has it. What comes from
// sockets looks as if the programs had told it.
type sockets struct {
	proc      string
	etcds     func() []int // whose connections are followed
	know      func(ports map[uint16]bool, found map[bpf.Ends]bpf.Found) error
	listening map[int]*listening
	alone     bool // all processes are in one name space
	open      map[uint64]*openSocket
	ids       map[place]uint64  // of open
	kernels   map[uint64]uint64 // by what the kernel calls it; not of those that were found
	made      uint64            // ids so far: the kernel's are much larger
	tables    map[uint32]*socketTable
	readAt    map[uint32]int64 // when a table was read between looks, ns of CLOCK_MONOTONIC
	nobodys   map[uint64]bool  // inodes that no process has
	glances   bool             // looks leave out what takes all processes of the host
}

// place is a connection: ends are of a name space.
type place struct {
	network uint32
	bpf.Ends
}

func placeOf(c *bpf.Connection) place {
	return place{c.Network, bpf.Ends{Local: c.Local, Remote: c.Remote}}
}

// other is the same connection as its other end has it.
func other(e bpf.Ends) bpf.Ends { return bpf.Ends{Local: e.Remote, Remote: e.Local} }

// openSocket is one of an etcd, or of a caller.
type openSocket struct {
	place
	pid    int
	role   bpf.Role
	name   string // of the caller
	kernel uint64 // as it calls it; 0: it has not
	seen   time.Time
}

// listening is where an etcd does.
type listening struct {
	network uint32
	at      []netip.AddrPort
}

func (l *listening) covers(local netip.AddrPort) bool {
	return slices.ContainsFunc(l.at, func(at netip.AddrPort) bool {
		return at == local || at.Port() == local.Port() && at.Addr().IsUnspecified()
	})
}

type socketTable struct {
	rows []socketRow
	at   int64 // ns of CLOCK_MONOTONIC, before it was read
}

func newSockets(proc string, programs *bpf.Network, etcds func() []int) *sockets {
	return &sockets{
		proc: proc, know: programs.KnowSockets, etcds: etcds, listening: map[int]*listening{},
		open: map[uint64]*openSocket{}, ids: map[place]uint64{}, kernels: map[uint64]uint64{}, tables: map[uint32]*socketTable{},
		readAt: map[uint32]int64{},
	}
}

// complete adds to what the programs tell what they cannot. It gives false for what is
// of no etcd that is followed.
func (s *sockets) complete(r *bpf.Record, now time.Time) bool {
	c := r.Connection
	switch r.Operation {
	case bpf.ConnectionHalfOpen:
		return s.owned(r)
	case bpf.ConnectionOpened:
		if c.Role == bpf.RoleAccepted && !s.owned(r) {
			return false
		}
		s.opened(r, now)
		return true
	}
	id := s.id(c)
	o := s.open[id]
	if o == nil {
		return c.Role == bpf.RoleDialed // one that never came up, or whose beginning was lost
	}
	r.PID, c.Socket, c.Network, c.Local, c.Remote = uint32(o.pid), id, o.network, o.Local, o.Remote
	if r.Operation == bpf.ConnectionClosed {
		s.drop(id)
	}
	return true
}

// id is that of one that is open; 0: of none. If its beginning was lost, and a look has
// found it, the programs have another name for it.
func (s *sockets) id(c *bpf.Connection) uint64 {
	if id, ok := s.kernels[c.Socket]; ok {
		return id
	}
	if s.open[c.Socket] != nil {
		return c.Socket
	}
	for _, l := range s.listening {
		at := placeOf(c)
		at.network = l.network
		id := s.ids[at]
		if o := s.open[id]; o != nil && o.kernel == 0 && o.role == c.Role {
			return id
		}
	}
	return 0
}

// owned finds out which etcd was asked for a connection. In another name space somebody
// else may listen at its port: so where there are several, it is where its caller is, or
// the address is looked for in their tables, or, of loopback, the connection itself. One of
// these that was reset meanwhile, by a process that has ended too, is not found then.
func (s *sockets) owned(r *bpf.Record) bool {
	ends, since := bpf.Ends{Local: r.Connection.Local, Remote: r.Connection.Remote}, int64(r.Time)
	known := func(_ int, l *listening) bool {
		_, called := s.ids[place{l.network, other(ends)}]
		return s.alone || called || s.has(l.network, ends, since)
	}
	read := func(pid int, l *listening) bool {
		return s.readAgain(l.network, pid, since) && s.has(l.network, ends, since)
	}
	for _, is := range []func(int, *listening) bool{known, read} {
		for pid, l := range s.listening {
			if l.covers(ends.Local) && is(pid, l) {
				r.PID, r.Connection.Network = uint32(pid), l.network
				return true
			}
		}
	}
	return false
}

// has tells whether a connection is in a name space. The table that is there may be older
// than it.
func (s *sockets) has(network uint32, ends bpf.Ends, since int64) bool {
	t := s.tables[network]
	return t != nil && (t.at >= since || !ends.Local.Addr().IsLoopback()) && t.shows(ends)
}

// readAgainAfter is how long a table is not read again for connections that may be
// anybody's: the kernel goes through those of the host. One that begins and ends
// meanwhile may not be told.
const readAgainAfter = 100 * time.Millisecond

// readAgain reads a table that is older than a connection, if that was not done just now.
func (s *sockets) readAgain(network uint32, pid int, since int64) bool {
	t, now := s.tables[network], monotonic()
	if t != nil && t.at >= since || now-s.readAt[network] < int64(readAgainAfter) {
		return false
	}
	s.readAt[network] = now
	_, err := s.read(network, pid) // it may have ended
	return err == nil
}

// shows tells whether a table has a connection, its other end, which stays for a minute
// if it has closed first, or another socket of the same address.
func (t *socketTable) shows(ends bpf.Ends) bool {
	return slices.ContainsFunc(t.rows, func(row socketRow) bool {
		return row.Ends == ends || row.Ends == other(ends) || row.Local.Addr() == ends.Local.Addr() && !row.Local.Addr().IsLoopback()
	})
}

// opened notes one that the programs have told. A look may have found it before.
func (s *sockets) opened(r *bpf.Record, now time.Time) {
	c := r.Connection
	o := &openSocket{place: placeOf(c), pid: int(r.PID), role: c.Role, kernel: c.Socket, seen: now}
	if c.Role != bpf.RoleAccepted {
		o.network, _ = networkOf(s.proc, o.pid) // it may have ended, or be none of our business
		c.Network = o.network
	}
	if c.Role == bpf.RoleCaller {
		if name := s.name(o.pid); name != "" { // else that of its thread
			c.Process = []byte(name)
		}
		o.name = string(c.Process)
	}
	id, ok := s.ids[o.place]
	if known := s.open[id]; !ok || known.kernel != 0 || known.pid != o.pid || known.role != o.role {
		s.drop(id) // its end was lost
		id = c.Socket
		s.drop(id)
		s.put(id, o)
	}
	known := s.open[id]
	known.kernel, known.seen = c.Socket, now
	s.kernels[c.Socket] = id
	c.Socket = id
}

// forget is bpf.Network.Forget.
func (s *sockets) forget(pid int) error {
	delete(s.listening, pid)
	for id, o := range s.open {
		if o.pid == pid {
			s.drop(id)
		}
	}
	return s.tellPrograms()
}

// tellPrograms tells them what they cannot know.
func (s *sockets) tellPrograms() error {
	ports, found := map[uint16]bool{}, map[bpf.Ends]bpf.Found{}
	for _, l := range s.listening {
		for _, at := range l.at {
			ports[at.Port()] = true
		}
	}
	for id, o := range s.open {
		if o.kernel == 0 {
			found[o.Ends] = bpf.Found{Socket: id, PID: o.pid, Role: o.role}
		}
	}
	return s.know(ports, found)
}

func (s *sockets) put(id uint64, o *openSocket) { s.open[id], s.ids[o.place] = o, id }

func (s *sockets) drop(id uint64) {
	o := s.open[id]
	if o == nil {
		return
	}
	delete(s.open, id)
	if s.kernels[o.kernel] == id { // else the kernel uses the socket again
		delete(s.kernels, o.kernel)
	}
	if s.ids[o.place] == id {
		delete(s.ids, o.place)
	}
}
