// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/etcdreceiver/etcdreceiver/bpf"
)

// look is bpf.Network.Look by /proc. A caller in a name space where no etcd is is found
// only if its beginning was told.
func (s *sockets) look(each func(*bpf.Record)) error {
	now := time.Now()
	if !s.glances {
		s.alone = s.oneSpace()
	}
	clear(s.tables)
	clear(s.readAt)
	owners, err := s.listen()
	if err != nil {
		return err
	}
	for _, o := range s.open { // callers may be in other name spaces
		if s.tables[o.network] != nil || o.network == 0 {
			continue
		}
		if is, _ := networkOf(s.proc, o.pid); is == o.network { // else it has ended, and its id may be used again
			_, _ = s.read(o.network, o.pid)
		}
	}
	strangers := map[uint64]place{}
	for network, table := range s.tables {
		for _, row := range table.rows {
			at := place{network, row.Ends}
			known := s.open[s.ids[at]]
			if !row.isOpen() {
				continue
			} else if row.inode == 0 { // not accepted yet, or no file any more
				if known != nil {
					known.seen = now
				}
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
	if !s.glances {
		for inode, pid := range s.whose(strangers) {
			s.found(&openSocket{place: strangers[inode], pid: pid, role: bpf.RoleCaller, name: s.name(pid)}, 0, now, each)
		}
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
		network, table, own, err := s.of(pid)
		switch {
		case hasEnded(err), errors.Is(err, syscall.EINVAL): // of its table
			continue
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
func (s *sockets) of(pid int) (network uint32, table *socketTable, own map[uint64]bool, err error) {
	if network, err = networkOf(s.proc, pid); err != nil {
		return 0, nil, nil, err
	}
	if table = s.tables[network]; table == nil {
		if table, err = s.read(network, pid); err != nil {
			return 0, nil, nil, err
		}
	}
	own, err = socketInodes(s.proc, pid)
	return network, table, own, err
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

// oneSpace tells whether all processes are known to be in one network name space. Without
// CAP_SYS_PTRACE they are not.
func (s *sockets) oneSpace() bool {
	spaces := map[uint32]bool{}
	for _, pid := range s.processes() {
		network, err := networkOf(s.proc, pid)
		switch {
		case err == nil:
			spaces[network] = true
		case !hasEnded(err):
			return false
		}
	}
	return len(spaces) == 1
}

// name is what a process calls itself, "" once it has ended.
func (s *sockets) name(pid int) string {
	text, _ := os.ReadFile(filepath.Join(s.proc, strconv.Itoa(pid), "comm"))
	return strings.TrimSuffix(string(text), "\n")
}
