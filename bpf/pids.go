// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// hostPIDs is the host's own name space of process ids, which always has this
// number: PROC_PID_INIT_INO of include/linux/proc_ns.h.
const hostPIDs = "pid:[4026531836]"

var errOtherPIDs = errors.New("the collector has a name space of process ids of its own, and its ids cannot be told from the host's: " +
	"let it share those of the host, in Kubernetes with hostPID: true")

// errForeignProc: a probe is put into a process by its id here, which a /proc of the host
// does not tell.
var errForeignProc = errors.New("the collector has a name space of process ids of its own, but /proc is that of another one: " +
	"let it share those of the host, in Kubernetes with hostPID: true, or mount a /proc of its own")

// pids translates between the ids of processes that the programs see, which are the
// host's, and those that this process sees. A node of Kubernetes may itself be a
// container. nil where both are the same.
type pids struct {
	list   *link.Iter
	toHost map[uint32]uint32
	toHere map[uint32]uint32
	put    map[uint32]uint32 // those of PutProcess to the host's, until they are removed: what was recorded of one outlives it
}

// newPIDs gives an error where the ids differ and the kernel, or /proc, cannot tell how.
func newPIDs() (*pids, error) {
	if self, err := os.Readlink("/proc/self"); err == nil && self != strconv.Itoa(os.Getpid()) {
		return nil, errForeignProc
	}
	if own, err := os.Readlink("/proc/self/ns/pid"); err != nil || own == hostPIDs {
		return nil, nil // without /proc there are no processes to trace
	}
	spec, err := loadLifecycle()
	if err != nil {
		return nil, err
	}
	spec.Programs = map[string]*ebpf.ProgramSpec{lifecycleProgPidsHere: spec.Programs[lifecycleProgPidsHere]}
	spec.Maps, spec.Variables = nil, nil
	var loaded *ebpf.Collection
	err = withMemory(func() (err error) { loaded, err = ebpf.NewCollection(spec); return err })
	if errors.Is(err, fs.ErrPermission) {
		return nil, err // of what all programs need
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errOtherPIDs, whyNot(err))
	}
	defer loaded.Close() // the link keeps its program
	p := &pids{put: map[uint32]uint32{}}
	if p.list, err = link.AttachIter(link.IterOptions{Program: loaded.Programs[lifecycleProgPidsHere]}); err != nil {
		return nil, fmt.Errorf("%w: %w", errOtherPIDs, err)
	}
	return p, p.look()
}

// look learns the ids as they are now, of all processes that this one sees.
func (p *pids) look() error {
	if p == nil {
		return nil
	}
	list, err := p.list.Open()
	if err != nil {
		return err
	}
	defer func() { _ = list.Close() }()
	raw, err := io.ReadAll(list)
	if err != nil {
		return err
	}
	p.toHost, p.toHere = map[uint32]uint32{}, map[uint32]uint32{}
	const size = int(unsafe.Sizeof(lifecyclePidHere{}))
	for ; len(raw) >= size; raw = raw[size:] {
		is := *(*lifecyclePidHere)(unsafe.Pointer(unsafe.SliceData(raw)))
		p.toHost[is.Pid], p.toHere[is.Tgid] = is.Tgid, is.Pid
	}
	for pid, tgid := range p.put {
		p.toHost[pid], p.toHere[tgid] = tgid, pid
	}
	return nil
}

// keep looks for a process and gives its id of the host, which is known until let.
func (p *pids) keep(pid int) (uint32, error) {
	if p == nil {
		return uint32(pid), nil
	}
	err := p.look()
	tgid, ok := p.toHost[uint32(pid)]
	if err == nil && !ok {
		err = fmt.Errorf("process %d: %w", pid, unix.ESRCH)
	}
	if err == nil {
		p.put[uint32(pid)] = tgid
	}
	return tgid, err
}

func (p *pids) let(pid int) {
	if p != nil {
		delete(p.put, uint32(pid))
	}
}

// host is the id under which the programs see a process.
func (p *pids) host(pid int) uint32 {
	if p == nil {
		return uint32(pid)
	}
	return p.toHost[uint32(pid)]
}

// here is the id under which this process sees it, 0 if it does not.
func (p *pids) here(tgid uint32) uint32 {
	if p == nil {
		return tgid
	}
	return p.toHere[tgid]
}

// OwnPIDs tells whether this process has a name space of process ids that is not the
// host's, and so may not see all processes.
func (p *Programs) OwnPIDs() bool { return p.pids != nil }

func (p *pids) Close() error {
	if p == nil {
		return nil
	}
	return p.list.Close()
}
