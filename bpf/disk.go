// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// FileKind is what a file of etcd is: record.h.
type FileKind uint8

// The kinds of files.
const (
	FileOther   = FileKind(diskFileKindFILE_OTHER)
	FileWAL     = FileKind(diskFileKindFILE_WAL)
	FileBackend = FileKind(diskFileKindFILE_BACKEND)
)

// Disk is the programs that follow syncs of etcd's files. They are attached to the
// kernel and know etcd by Programs.PutProcess; what they tell is in the ring and
// the distributions of Programs.
type Disk struct {
	with  *Programs
	spec  *ebpf.CollectionSpec
	maps  map[string]*ebpf.Map // shared by all programs
	own   []*ebpf.Map
	links []link.Link

	calls   bool              // system calls are followed
	known   map[File]FileKind // of KnowFiles; nil: the programs read names themselves
	without error             // why they do not
	lacks   []string
}

// The programs that are of use only together. Each set is left out if this kernel
// has not got what it is attached to.
var (
	ext4Syncs  = []string{diskProgExt4SyncFileEnter, diskProgExt4SyncFileExit}
	ext4Writes = []string{diskProgExt4DaWriteEnd, diskProgExt4WriteEnd}
	diskWrites = []string{diskProgBlockBioQueue}
	callSyncs  = []string{diskProgSysEnter, diskProgSysExit}

	oldDiskWrites = []string{diskProgBlockBioQueueOfQueue} // before 5.11
)

// What there is without BTF.
var namedSyncs = []tracepoint{
	{"ext4", "ext4_sync_file_enter", namedProgSyncEntered}, {"ext4", "ext4_sync_file_exit", namedProgSyncLeft},
}

// FollowDisk attaches what costs nobody anything who does not write to etcd's
// disks. Its error says that syncs cannot be followed at all; Lacks says what else
// is missing. A sync that takes as long as slow is in the ring; 0: none is.
func (p *Programs) FollowDisk(slow time.Duration) (_ *Disk, err error) {
	d := &Disk{with: p}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	threshold := uint64(math.MaxUint64)
	if slow > 0 {
		threshold = uint64(slow)
	}
	err = d.byBTF(threshold)
	if why := p.whyNotBTF(err); why != nil {
		if err = errors.Join(d.Close(), d.byName(threshold)); err != nil {
			err = fmt.Errorf("%w, and by tracefs: %w", why, err)
		}
		d.without = why
		d.miss("files on other file systems than ext4, bytes of a sync, and who else writes", why)
	}
	return d, err
}

func (d *Disk) byBTF(threshold uint64) (err error) {
	if d.with.perf {
		return errNoRing
	}
	if d.spec, err = loadDisk(); err != nil {
		return err
	}
	d.maps = d.with.shared(d.spec)
	if err = d.spec.Variables[diskVarSlowSync].Set(threshold); err != nil {
		return err
	}
	if d.own, err = withOwn(d.spec, d.maps, diskMapDisks, diskMapFiles, diskMapSyncing, diskMapWriters); err != nil {
		return err
	}
	if err := d.attach(ext4Syncs); err == nil {
		d.miss("bytes of a sync, and who fills the page cache", d.attach(ext4Writes))
	} else if e := d.attach(callSyncs); e == nil {
		d.calls = true
	} else {
		return errors.Join(err, e)
	}
	writes := d.attach(diskWrites)
	if writes != nil {
		writes = d.attach(oldDiskWrites)
	}
	d.miss("who else writes", writes)
	return nil
}

// byName follows syncs by the events of tracefs.
func (d *Disk) byName(threshold uint64) (err error) {
	if d.spec, d.maps, err = d.with.namedSpec(); err != nil {
		return err
	}
	var device, inode uint32
	if err = namedSyncs[0].fields(map[string]*uint32{"dev": &device, "ino": &inode}); err != nil {
		return err
	}
	if err = setAll(d.spec, map[string]any{namedVarSlowSync: threshold, namedVarSyncDeviceAt: device, namedVarSyncInodeAt: inode}); err != nil {
		return err
	}
	if d.own, err = withOwn(d.spec, d.maps, namedMapSyncing, namedMapKnownFiles); err != nil {
		return err
	}
	d.known = map[File]FileKind{}
	d.links, err = d.with.attachByName(d.spec, d.maps, namedSyncs)
	return err
}

// File is one of a file system, under any name.
type File struct {
	Device uint32 // as the kernel numbers it
	Inode  uint64
}

// NeedsFiles tells whether KnowFiles has to be called now and then: the programs see
// no names.
func (d *Disk) NeedsFiles() bool { return d.known != nil }

// KnowFiles tells the programs what the files of the processes are. All others are
// FileOther.
func (d *Disk) KnowFiles(all map[File]FileKind) error {
	var err error
	m := d.maps[namedMapKnownFiles]
	for file, kind := range all {
		if d.known[file] != kind {
			err = errors.Join(err, m.Put(namedFileKey{Inode: file.Inode, Device: file.Device}, uint32(kind)))
		}
	}
	for file := range d.known {
		if _, ok := all[file]; !ok {
			err = errors.Join(err, m.Delete(namedFileKey{Inode: file.Inode, Device: file.Device}))
		}
	}
	d.known = all
	return err
}

func (d *Disk) miss(what string, err error) {
	if err != nil {
		d.lacks = append(d.lacks, fmt.Sprintf("%s: %v", what, err))
	}
}

// Lacks are the parts that this kernel cannot give, each with the reason.
func (d *Disk) Lacks() []string { return d.lacks }

// FollowFileSystem makes sure that syncs of this type of file system, as statfs has
// it, are seen. Those without tracepoints of their own are followed at the system
// call, which costs every call of this host some 100 ns: so only where it must be.
func (d *Disk) FollowFileSystem(magic int64) error {
	if d.calls || magic == unix.EXT4_SUPER_MAGIC {
		return nil
	}
	if d.NeedsFiles() {
		return d.without
	}
	if err := d.attach(callSyncs); err != nil {
		return err
	}
	d.calls = true
	return nil
}

func (d *Disk) attach(names []string) error {
	links, err := d.with.attachTracepoints(d.spec, d.maps, names)
	d.links = append(d.links, links...)
	return err
}

// Writer is a process and what it wrote to a disk.
type Writer struct {
	PID   uint32 // 0 if it has none where this process runs
	Name  string
	Bytes uint64
}

// Writers are the processes that wrote to a disk between two times of
// CLOCK_MONOTONIC, those that wrote most first. What is older than four seconds is
// forgotten, and the ends are as sharp as slices of 67 ms allow.
func (d *Disk) Writers(disk uint32, from, to uint64) ([]Writer, error) {
	const shift = 26 // SLICE_SHIFT
	var out []Writer
	if d.NeedsFiles() {
		return nil, nil // it is among what Lacks
	}
	var key diskWriterKey
	var value diskWriter
	entries := d.maps[diskMapWriters].Iterate()
	for entries.Next(&key, &value) {
		if key.Disk != disk {
			continue
		}
		var filled, handed uint64
		for _, s := range value.Slices {
			if when := uint64(s.When); from>>shift <= when && when <= to>>shift {
				filled += uint64(s.Filled)
				handed += uint64(s.Handed)
			}
		}
		if n := max(filled, handed); n > 0 {
			out = append(out, Writer{PID: d.with.pids.here(key.Tgid), Name: string(untilZero(value.Name[:])), Bytes: n})
		}
	}
	slices.SortFunc(out, func(a, b Writer) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.PID, b.PID))
	})
	return out, entries.Err()
}

// Close takes the programs out of the kernel.
func (d *Disk) Close() error {
	err := closeAll(d.links)
	for _, m := range d.own {
		err = errors.Join(err, m.Close())
	}
	d.links, d.own = nil, nil
	return err
}
