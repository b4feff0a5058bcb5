// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/privilege"
)

// openDisk puts the programs for syncs into the kernel. Where that fails, the rest
// of the road goes on.
func (t *tracer) openDisk() {
	if !t.Disk {
		return
	}
	var slow time.Duration
	if t.Logs != nil && t.Format.Events.EtcdDiskSync.Enabled {
		slow = t.SlowSync
	}
	d, err := t.programs.FollowDisk(slow)
	if err != nil {
		t.Logger.Info("syncs of etcd's files are not followed; requests are", zap.Error(privilege.Host{Proc: t.ProcRoot}.Explain(err)))
		return
	}
	t.disk = d
	if lacks := d.Lacks(); len(lacks) > 0 {
		t.Logger.Info("not all can be told about syncs of etcd's files", zap.Strings("cannot_be_told", lacks))
	}
}

// followFiles makes sure that the syncs of a process are seen, on whatever file
// systems its files are. An etcd that has answered has opened them all; one that
// begins has its backend first, and its WAL may be on another file system.
func (t *tracer) followFiles(p *process) {
	if t.disk == nil || p.filesFollowed || !p.verified {
		return
	}
	t.filesSeen = time.Time{}
	t.knowFiles(time.Now())
	for _, magic := range fileSystems(t.proc(), p.PID, p.DataDir) {
		p.filesFollowed = true
		if err := t.disk.FollowFileSystem(magic); err != nil {
			t.Logger.Warn("syncs of etcd's files are not followed on this file system", zap.Int("pid", p.PID),
				zap.String("type", strconv.FormatInt(magic, 16)), zap.Error(err))
		}
	}
}

// fileSystems are the types of those that have the WAL and the backend, which may
// be two. None: etcd has not opened them yet.
func fileSystems(root string, pid int, dataDir string) []int64 {
	dir := filepath.Join(root, strconv.Itoa(pid))
	var paths []string
	open, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil { // this needs more rights than tracing does
		paths = append(paths, filepath.Join(dir, "root", dataDir))
	}
	for _, fd := range open {
		path := filepath.Join(dir, "fd", fd.Name())
		if name, err := os.Readlink(path); err == nil && (strings.HasSuffix(name, ".wal") || filepath.Base(name) == "db") {
			paths = append(paths, path)
		}
	}
	types := map[int64]bool{}
	for _, path := range paths {
		var stat unix.Statfs_t
		if unix.Statfs(path, &stat) == nil {
			types[int64(stat.Type)] = true
		}
	}
	return slices.Collect(maps.Keys(types))
}

const (
	// maxWriters is how many other writers a slow sync tells.
	maxWriters = 3
	// leastWritten is below what slows no sync down.
	leastWritten = 64 << 10
)

// synced takes a sync that was slow.
func (t *tracer) synced(r *bpf.Record, now time.Time) {
	p := t.processes[int(r.PID)]
	if p == nil || !p.verified || t.outbox == nil {
		return
	}
	s := &logrecord.Sync{
		Type: fileType(bpf.FileKind(r.Operation)), Name: string(r.Name), ThreadID: t.programs.TID(r.TID), Size: logrecord.Absent,
		Start: time.Unix(0, int64(r.Time-r.Duration)+t.ahead), Duration: time.Duration(r.Duration),
	}
	if s.Name == "" {
		s.Name = t.files[bpf.File{Device: r.Device, Inode: r.Inode}]
	}
	if r.Written > 0 {
		s.Size = int64(r.Written)
	}
	writers, err := t.disk.Writers(r.Disk, r.Time-r.Duration, r.Time)
	if err != nil {
		t.Logger.Debug("who else writes to the disk cannot be read", zap.Error(err))
	}
	for _, w := range writers {
		if w.PID != r.PID && w.Bytes >= leastWritten && len(s.Writers) < maxWriters {
			s.Writers = append(s.Writers, logrecord.Writer{Process: logrecord.Process{Name: w.Name, PID: w.PID}, Size: int64(w.Bytes)})
		}
	}
	t.outbox.add(p, now, func(b *logrecord.Batch) { b.SlowSync(s) })
}

func fileType(kind bpf.FileKind) metadata.AttributeEtcdFileType {
	switch kind {
	case bpf.FileWAL:
		return metadata.AttributeEtcdFileTypeWal
	case bpf.FileBackend:
		return metadata.AttributeEtcdFileTypeBackend
	default:
		return metadata.AttributeEtcdFileTypeOther
	}
}
