// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/etcdreceiver/etcdreceiver/bpf"
)

// Where the programs cannot read the names of files, they know them by what is in
// etcd's folders, which is looked at every lookAtFiles: a segment of the WAL is there
// long before it is written to, as 0.tmp, and keeps its inode when it is renamed.

const lookAtFiles = time.Second

// names are those of etcd's files.
type names map[bpf.File]string

// knowFiles looks at the files of all processes, if somebody needs it and it is time.
func (t *tracer) knowFiles(now time.Time) {
	if t.disk == nil || !t.disk.NeedsFiles() || now.Sub(t.filesSeen) < lookAtFiles {
		return
	}
	t.filesSeen, t.files = now, names{}
	kinds := map[bpf.File]bpf.FileKind{}
	for _, p := range t.processes {
		if !p.verified {
			continue
		}
		if p.folders == nil {
			p.folders = folders(t.proc(), p.PID)
		}
		for _, dir := range p.folders {
			entries, _ := os.ReadDir(dir) // none once etcd has ended
			for _, e := range entries {
				kind := fileKind(e.Name())
				if kind == bpf.FileOther {
					continue
				}
				if file, ok := fileAt(filepath.Join(dir, e.Name())); ok {
					kinds[file], t.files[file] = kind, e.Name()
				}
			}
		}
	}
	if err := t.disk.KnowFiles(kinds); err != nil {
		t.Logger.Debug("telling the programs of etcd's files", zap.Error(err))
	}
}

// folders are those that have the WAL and the backend, as a process has them open.
func folders(root string, pid int) []string {
	dir := filepath.Join(root, strconv.Itoa(pid))
	open, _ := os.ReadDir(filepath.Join(dir, "fd"))
	found := map[string]bool{}
	var all []string
	for _, fd := range open {
		path, err := os.Readlink(filepath.Join(dir, "fd", fd.Name()))
		if err != nil || fileKind(filepath.Base(path)) == bpf.FileOther {
			continue
		}
		if in := filepath.Join(dir, "root", filepath.Dir(path)); !found[in] {
			found[in] = true
			all = append(all, in)
		}
	}
	return all
}

// fileKind is what kind_of in bpf/synced.h says of a name.
func fileKind(name string) bpf.FileKind {
	switch {
	case name == "db":
		return bpf.FileBackend
	case strings.HasSuffix(name, ".wal"), name == "0.tmp", name == "1.tmp":
		return bpf.FileWAL
	default:
		return bpf.FileOther
	}
}

func fileAt(path string) (bpf.File, bool) {
	var stat unix.Stat_t
	if unix.Stat(path, &stat) != nil {
		return bpf.File{}, false
	}
	const shift = 20 // include/linux/kdev_t.h
	return bpf.File{Device: unix.Major(stat.Dev)<<shift | unix.Minor(stat.Dev), Inode: stat.Ino}, true
}
