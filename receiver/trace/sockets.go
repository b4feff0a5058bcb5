// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
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
	nobodys   map[uint64]bool // inodes that no process has
}

// place is a connection: ends are of a name space.
type place struct {
	network uint32
	bpf.Ends
}

// other is the same connection as its other end has it.
func other(e bpf.Ends) bpf.Ends { return bpf.Ends{Local: e.Remote, Remote: e.Local} }

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
	}
}

// look is bpf.Network.Look by /proc. A caller in a name space where no etcd is is found
// only if its beginning was told.
func (s *sockets) look(each func(*bpf.Record)) error {
	now := time.Now()
	s.alone = s.oneSpace()
	clear(s.tables)
	owners, err := s.listen()
	if err != nil {
		return err
	}
	for _, o := range s.open { // callers may be in other name spaces
		if s.tables[o.network] == nil {
			_, _ = s.read(o.network, o.pid) // it may have ended
		}
	}
	strangers := map[uint64]place{}
	for network, table := range s.tables {
		for _, row := range table.rows {
			at := place{network, row.Ends}
			if known := s.open[s.ids[at]]; !row.isOpen() || row.inode == 0 {
				continue
			} else if pid := owners[row.inode]; pid != 0 {
				role := bpf.RoleDialed
				if s.listening[pid].covers(row.Local) {
					role = bpf.RoleAccepted
				}
				s.found(&openSocket{place: at, pid: pid, role: role}, row.unanswered, now, each)
			} else if known != nil && known.role == bpf.RoleCaller {
				s.found(known, 0, now, each)
			} else if s.leadsToEtcd(network, row.Remote) {
				strangers[row.inode] = at
			}
		}
	}
	for inode, pid := range s.whose(strangers) {
		s.found(&openSocket{place: strangers[inode], pid: pid, role: bpf.RoleCaller, name: s.name(pid)}, 0, now, each)
	}
	for id, o := range s.open {
		if now.Sub(o.seen) > lostAfter {
			s.drop(id)
		}
	}
	return s.tellPrograms()
}

// listen learns where the etcds listen, and gives their sockets by inode.
func (s *sockets) listen() (owners map[uint64]int, err error) {
	owners, s.listening = map[uint64]int{}, map[int]*listening{}
	for _, pid := range s.etcds() {
		network := networkOf(s.proc, pid)
		table, own, err := s.of(network, pid)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESRCH), errors.Is(err, syscall.EINVAL):
			continue // it has ended
		case err != nil:
			return nil, err
		}
		for inode := range own {
			owners[inode] = pid
		}
		l := &listening{network: network}
		for _, row := range table.rows {
			if row.state == stateListen && own[row.inode] {
				l.at = append(l.at, row.Local)
			}
		}
		s.listening[pid] = l
	}
	return owners, nil
}

// of is the table of a process, and which sockets of it are its own.
func (s *sockets) of(network uint32, pid int) (table *socketTable, own map[uint64]bool, err error) {
	if table = s.tables[network]; table == nil {
		if table, err = s.read(network, pid); err != nil {
			return nil, nil, err
		}
	}
	own, err = socketInodes(s.proc, pid)
	return table, own, err
}

// read reads a table anew.
func (s *sockets) read(network uint32, pid int) (*socketTable, error) {
	t := &socketTable{at: monotonic()}
	var err error
	if t.rows, err = readSocketTable(s.proc, pid); err != nil {
		return nil, err
	}
	s.tables[network] = t
	return t, nil
}

func (s *sockets) leadsToEtcd(network uint32, remote netip.AddrPort) bool {
	for _, l := range s.listening {
		if l.network == network && l.covers(remote) {
			return true
		}
	}
	return false
}

// found tells of one that is open.
func (s *sockets) found(o *openSocket, unanswered uint32, now time.Time, each func(*bpf.Record)) {
	id, ok := s.ids[o.place]
	if known := s.open[id]; !ok || known.pid != o.pid || known.role != o.role {
		s.drop(id) // its end was lost
		s.made++
		id = s.made
		s.put(id, o)
	}
	known := s.open[id]
	known.seen = now
	each(&bpf.Record{Kind: bpf.KindConnection, Operation: bpf.ConnectionFound, PID: uint32(o.pid), Connection: &bpf.Connection{
		Role: known.role, Socket: id, Network: known.network, Local: known.Local, Remote: known.Remote, Established: true,
		Unanswered: unanswered, Process: []byte(known.name),
	}})
}

func (s *sockets) put(id uint64, o *openSocket) { s.open[id], s.ids[o.place] = o, id }

func (s *sockets) drop(id uint64) {
	o := s.open[id]
	if o == nil {
		return
	}
	delete(s.open, id)
	delete(s.kernels, o.kernel)
	if s.ids[o.place] == id {
		delete(s.ids, o.place)
	}
}

// whose are the processes that have these sockets. It looks at the open files of the
// host, if there are any that it has not looked for.
func (s *sockets) whose(inodes map[uint64]place) map[uint64]int {
	found, nobodys, unknown := map[uint64]int{}, map[uint64]bool{}, 0
	for inode := range inodes {
		if nobodys[inode] = s.nobodys[inode]; !nobodys[inode] {
			unknown++
		}
	}
	if unknown > 0 {
		for _, pid := range s.processes() {
			own, _ := socketInodes(s.proc, pid) // it may have ended, or be none of our business
			for inode := range own {
				if _, ok := inodes[inode]; ok && found[inode] == 0 {
					found[inode] = pid
				}
			}
		}
	}
	for inode := range nobodys {
		nobodys[inode] = found[inode] == 0
	}
	s.nobodys = nobodys
	return found
}

func (s *sockets) processes() (pids []int) {
	entries, _ := os.ReadDir(s.proc)
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// oneSpace tells whether all processes that can be looked at are in one network name
// space.
func (s *sockets) oneSpace() bool {
	spaces := map[uint32]bool{}
	for _, pid := range s.processes() {
		if network := networkOf(s.proc, pid); network != 0 {
			spaces[network] = true
		}
	}
	return len(spaces) == 1
}

// name is what a process calls itself, "" once it has ended.
func (s *sockets) name(pid int) string {
	text, _ := os.ReadFile(filepath.Join(s.proc, strconv.Itoa(pid), "comm"))
	return strings.TrimSuffix(string(text), "\n")
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
	id := c.Socket
	if as, ok := s.kernels[id]; ok {
		id = as
	}
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

// owned finds out which etcd was asked for a connection. In another name space somebody
// else may listen at its port: so where there are several, it is where its caller is, or
// the address is looked for in their tables, or, of loopback, the connection itself. One of
// these that was reset meanwhile, by a process that has ended too, is not found then.
func (s *sockets) owned(r *bpf.Record) bool {
	ends := bpf.Ends{Local: r.Connection.Local, Remote: r.Connection.Remote}
	for pid, l := range s.listening {
		_, called := s.ids[place{l.network, other(ends)}]
		if l.covers(ends.Local) && (s.alone || called || s.has(l.network, pid, ends, int64(r.Time))) {
			r.PID, r.Connection.Network = uint32(pid), l.network
			return true
		}
	}
	return false
}

// has tells whether a connection is in a name space. The table that is there may be older
// than it.
func (s *sockets) has(network uint32, pid int, ends bpf.Ends, since int64) bool {
	t := s.tables[network]
	if t != nil && (t.at >= since || !ends.Local.Addr().IsLoopback()) && t.shows(ends) {
		return true
	}
	if t == nil || t.at < since {
		t, _ = s.read(network, pid) // it may have ended
	}
	return t != nil && t.shows(ends)
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
	o := &openSocket{place: place{c.Network, bpf.Ends{Local: c.Local, Remote: c.Remote}}, pid: int(r.PID), role: c.Role, kernel: c.Socket, seen: now}
	if c.Role != bpf.RoleAccepted {
		o.network = networkOf(s.proc, o.pid)
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
