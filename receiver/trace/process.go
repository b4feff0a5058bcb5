// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/discovery"
	"github.com/etcdreceiver/etcdreceiver/internal/gobinary"
)

// process is one etcd server on this host and what we have in it.
type process struct {
	discovery.Process
	started    uint64 // in clock ticks since boot: a PID alone is used again
	found      int64  // ns of CLOCK_MONOTONIC
	executable *executable
	binary     uint32 // id of the executable for the programs
	attachment *bpf.Attachment
	users      *bpf.Attachment // while auth is on
	writes     *bpf.Attachment // while changes are tied to requests

	filesFollowed bool     // syncs on the file systems of its files are seen
	folders       []string // that have them, see knowFiles

	is bpf.Process // what the programs know of it

	// Found by the self-check:
	verified        bool
	since           time.Time
	cluster, member uint64

	failures map[outcome]*durations // since then

	// Its connections since then, nil if they are not followed:
	traffic  map[from]*traffic
	peers    map[uint64]*peer                 // by id
	clients  *clients                         // nil if none are counted by name
	neverUp  map[failure]uint64               // those that failed
	accepted map[netip.AddrPort][]*connection // that are open, by the end of who dialled
	looked   bool                             // those that were there before are known

	// After a self-check that failed: when the next one is due. The probes stay in
	// while pause is short, and are out after that.
	next   time.Time
	pause  time.Duration
	delay  time.Duration
	reason string
}

// identity is an executable: the same file under any path and in any mount name
// space, and another one after an upgrade in place.
type identity struct {
	device, inode uint64
	changed       int64 // ns: an upgrade may write into the same inode
}

// startTime is field 22 of /proc/PID/stat, after the name, which may hold spaces
// and parentheses.
func startTime(root string, pid int) (uint64, error) {
	text, err := os.ReadFile(filepath.Join(root, strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat does not look as expected", pid)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// openExecutable opens what a process runs, also if the file was replaced or
// deleted since.
func openExecutable(root string, pid int) (*os.File, identity, error) {
	file, err := os.Open(executablePath(root, pid))
	if err != nil {
		return nil, identity{}, err
	}
	var stat unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		return nil, identity{}, errors.Join(err, file.Close())
	}
	return file, identity{stat.Dev, stat.Ino, stat.Ctim.Nano()}, nil
}

func executablePath(root string, pid int) string {
	return filepath.Join(root, strconv.Itoa(pid), "exe")
}

// loadBias is how far the process's addresses are from those in its file: that of
// the mapping of the file's first byte. 0 for all but position independent
// executables.
func loadBias(root string, pid int, build gobinary.Build, exe identity) (uint64, error) {
	if !build.PIE {
		return 0, nil
	}
	file, err := os.Open(filepath.Join(root, strconv.Itoa(pid), "maps"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text()) // address perms offset dev inode path
		if len(fields) < 5 || fields[4] != strconv.FormatUint(exe.inode, 10) || strings.Trim(fields[2], "0") != "" {
			continue
		}
		from, _, _ := strings.Cut(fields[0], "-")
		start, err := strconv.ParseUint(from, 16, 64)
		return start - build.Base, err
	}
	return 0, fmt.Errorf("/proc/%d/maps does not have its executable", pid)
}
