// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/etcdreceiver/etcdreceiver/bpf"
)

// socketRow is a TCP socket of one network name space, as /proc/PID/net/tcp and tcp6
// have it.
type socketRow struct {
	bpf.Ends
	state      socketState
	unanswered uint32 // times in a row that the last segment was sent again
	inode      uint64 // 0: no process has it open
}

// socketState is one of include/net/tcp_states.h.
type socketState uint8

const (
	stateSynSent  = socketState(2)
	stateSynRecv  = socketState(3) // the last segment of the handshake has not come
	stateTimeWait = socketState(6)
	stateClose    = socketState(7)
	stateListen   = socketState(10)
)

// isOpen tells whether it is a connection that has come up.
func (r *socketRow) isOpen() bool {
	return !slices.Contains([]socketState{stateSynSent, stateSynRecv, stateTimeWait, stateClose, stateListen}, r.state)
}

// readSocketTable reads all TCP sockets of the network name space of a process. The
// kernel goes through those of the host: some ms where there are many.
func readSocketTable(proc string, pid int) (all []socketRow, err error) {
	for _, name := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "net", name))
		if name == "tcp6" && errors.Is(err, fs.ErrNotExist) {
			break // no IPv6
		}
		if err == nil {
			all, err = parseSocketTable(all, string(text))
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// parseSocketTable appends the rows of a table. Source: get_tcp4_sock of
// net/ipv4/tcp_ipv4.c, get_tcp6_sock of net/ipv6/tcp_ipv6.c.
func parseSocketTable(to []socketRow, text string) ([]socketRow, error) {
	_, rows, _ := strings.Cut(text, "\n") // without the titles
	for line := range strings.Lines(rows) {
		r, err := parseSocketRow(line)
		if err != nil {
			return nil, fmt.Errorf("a line of a table of sockets does not look as expected: %w", err)
		}
		to = append(to, r)
	}
	return to, nil
}

func parseSocketRow(line string) (r socketRow, err error) {
	const local, remote, state, retransmits, inode, least = 1, 2, 3, 6, 9, 10
	f := strings.Fields(line)
	if len(f) < least {
		return r, fmt.Errorf("it has %d fields", len(f))
	}
	var errs [5]error
	r.Local, errs[0] = parseSocketEnd(f[local])
	r.Remote, errs[1] = parseSocketEnd(f[remote])
	n, e := strconv.ParseUint(f[state], 16, 8)
	r.state, errs[2] = socketState(n), e
	n, e = strconv.ParseUint(f[retransmits], 16, 32)
	r.unanswered, errs[3] = uint32(n), e
	r.inode, errs[4] = strconv.ParseUint(f[inode], 10, 64)
	return r, errors.Join(errs[:]...)
}

// parseSocketEnd reads an address in words of 32 bits, as this machine has them, and a
// port.
func parseSocketEnd(text string) (netip.AddrPort, error) {
	address, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for i := 0; i+4 <= len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, ok := netip.AddrFromSlice(raw)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("%q is no address", address)
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), nil
}

// socketInodes are those of the sockets that a process has open.
func socketInodes(proc string, pid int) (map[uint64]bool, error) {
	dir := filepath.Join(proc, strconv.Itoa(pid), "fd")
	open, err := os.ReadDir(dir)
	all := map[uint64]bool{}
	for _, fd := range open {
		if link, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil {
			if inode, ok := inBrackets(link, "socket:"); ok {
				all[inode] = true
			}
		}
	}
	return all, err
}

// networkOf is the network name space of a process, 0 if that is not known.
func networkOf(proc string, pid int) (uint32, error) {
	link, err := os.Readlink(filepath.Join(proc, strconv.Itoa(pid), "ns", "net"))
	network, _ := inBrackets(link, "net:")
	return uint32(network), err
}

// hasEnded tells whether an error is that of a process that is there no more.
func hasEnded(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}

// inBrackets is the number of "socket:[4711]".
func inBrackets(text, prefix string) (uint64, bool) {
	text, ok := strings.CutPrefix(text, prefix+"[")
	n, err := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 64)
	return n, ok && err == nil
}
