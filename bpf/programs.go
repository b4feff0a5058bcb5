// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"

	"github.com/etcdreceiver/etcdreceiver/internal/privilege"
)

// Options are what the programs are loaded with.
type Options struct {
	RingBytes   int           // size of the ring, or of those of all CPUs: a power of two, a multiple of the page size
	SlowRequest time.Duration // a request that takes as long always leaves; 0: none does for that
	Sample      float64       // which part of the requests leaves that need not

	// These are for tests. Probes are put in as on kernels before 6.6, records are read
	// as on those before 5.8.
	PerfUprobes, PerfBuffer bool
}

// Programs are the loaded programs with their maps. Nothing is attached yet.
type Programs struct {
	spec    *ebpf.CollectionSpec
	loaded  *ebpf.Collection // of the programs those that were needed until now: forAll, Prepare
	types   *btf.Cache       // of the kernel; nil until they are needed
	records buffer
	lost    *ebpf.Memory // nil: it is asked for
	pids    *pids
	perf    bool // records is a perfBuffer
	multi   bool // one link for all addresses: uprobe_multi, Linux 6.6

	onTracepoints map[*ebpf.Program]bool // for Misses
}

// Load puts the programs into the kernel. The errors are those of the kernel; a
// caller who may not do this learns why from internal/privilege.
func Load(o Options) (*Programs, error) {
	p := &Programs{
		perf:  o.PerfBuffer || errors.Is(features.HaveMapType(ebpf.RingBuf), ebpf.ErrNotSupported),
		multi: !o.PerfUprobes && features.HaveBPFLinkUprobeMulti() == nil,

		onTracepoints: map[*ebpf.Program]bool{},
	}
	load := loadEtcd
	if p.perf {
		load = loadPerf
	}
	spec, err := load()
	if err != nil {
		return nil, err
	}
	p.spec = spec
	if p.pids, err = newPIDs(); err != nil {
		return nil, err
	}
	if !p.perf {
		spec.Maps[etcdMapRecords].MaxEntries = uint32(o.RingBytes)
	}
	slow := uint64(math.MaxUint64)
	if o.SlowRequest > 0 {
		slow = uint64(o.SlowRequest)
	}
	if err := setAll(spec, map[string]any{
		etcdVarSlowRequest: slow,
		etcdVarSampleBelow: uint32(min(max(o.Sample, 0), 1) * math.MaxUint32),
	}); err != nil {
		return nil, errors.Join(err, p.pids.Close())
	}
	if !p.multi {
		for _, program := range spec.Programs {
			program.AttachType = ebpf.AttachNone
		}
	}
	if p.loaded, err = p.load(spec, nil, forAll); err != nil {
		return nil, errors.Join(p.refused(err), p.pids.Close())
	}
	if records := p.loaded.Maps[etcdMapRecords]; p.perf {
		p.records, err = openPerfBuffer(records, o.RingBytes)
	} else if p.lost, err = p.loaded.Maps[etcdMapLost].Memory(); err == nil {
		p.records, err = openRing(records)
	}
	if err != nil {
		p.loaded.Close()
		return nil, errors.Join(err, p.pids.Close())
	}
	return p, nil
}

// forAll tells whether a program is of use for every etcd. It is loaded at once, so that
// who may load none, or a kernel that takes none, says so before an etcd is met; what
// else an etcd needs is loaded when it is met.
func forAll(program string) bool { return program == etcdProgHandshakeFailed }

// load puts some programs of spec into the kernel, with the maps that they use: those of
// shared, and new ones.
func (p *Programs) load(spec *ebpf.CollectionSpec, shared map[string]*ebpf.Map, which func(name string) bool) (loaded *ebpf.Collection, err error) {
	if p.types == nil {
		p.types = btf.NewCache()
	}
	some := *spec // what is in it is only read
	some.Programs, some.Maps, shared = maps.Clone(spec.Programs), maps.Clone(spec.Maps), maps.Clone(shared)
	maps.DeleteFunc(some.Programs, func(name string, _ *ebpf.ProgramSpec) bool { return !which(name) })
	maps.DeleteFunc(some.Maps, func(name string, _ *ebpf.MapSpec) bool { return !uses(&some, name) })
	maps.DeleteFunc(shared, func(name string, _ *ebpf.Map) bool { return some.Maps[name] == nil || isConstant(name) })
	err = withMemory(func() (err error) {
		loaded, err = ebpf.NewCollectionWithOptions(&some, ebpf.CollectionOptions{MapReplacements: shared, Cache: p.types})
		return err
	})
	return loaded, err
}

// handled are the maps that user space reads and fills, whatever program uses them.
// Those of common are one for all objects.
var (
	common  = []string{etcdMapRecords, etcdMapCounters, etcdMapLost, etcdMapProcesses, etcdMapDistributions}
	handled = append([]string{etcdMapBinaries, etcdMapOperations}, common...)
)

// uses tells whether a program of spec uses a map, or could, or user space does.
func uses(spec *ebpf.CollectionSpec, name string) bool {
	if isConstant(name) || slices.Contains(handled, name) {
		return true
	}
	for _, program := range spec.Programs {
		for _, i := range program.Instructions {
			if i.Reference() == name {
				return true
			}
		}
	}
	return false
}

// isConstant tells whether a map has constants, which each load has anew. No program has
// variables.
func isConstant(name string) bool { return strings.HasPrefix(name, ".") }

// ForgetTypes gives the memory back that the types of the kernel take, some MiB. What
// is loaded later, for an etcd of another version, reads them again: 20 ms.
func (p *Programs) ForgetTypes() { p.types = nil }

// Probe is a place to attach to.
type Probe struct {
	Program Program
	Offset  uint64 // in the file
}

// Attach puts probes into one process. exe is a path of its executable, such as
// /proc/PID/exe. Close the Attachment to take them out again; the kernel does so
// when the collector ends, however it ends.
func (p *Programs) Attach(exe string, pid int, probes []Probe) (*Attachment, error) {
	file, err := link.OpenExecutable(exe)
	if err != nil {
		return nil, err
	}
	if err := p.Prepare(probes); err != nil {
		return nil, err
	}
	a := &Attachment{}
	for _, probe := range probes {
		l, err := p.attach(file, pid, probe)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("attach %s: %w", probe.Program, err), a.Close())
		}
		a.links = append(a.links, l)
	}
	return a, nil
}

func (p *Programs) attach(file *link.Executable, pid int, probe Probe) (link.Link, error) {
	program, err := p.program(probe.Program)
	if err != nil {
		return nil, err
	}
	if p.multi {
		return file.UprobeMulti(nil, program, &link.UprobeMultiOptions{Addresses: []uint64{probe.Offset}, PID: uint32(pid)})
	}
	l, err := file.Uprobe("", program, &link.UprobeOptions{Address: probe.Offset, PID: pid})
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w: %w", privilege.ErrPerf, err)
	}
	return l, err
}

func (p *Programs) program(name Program) (*ebpf.Program, error) {
	if program, ok := p.loaded.Programs[string(name)]; ok {
		return program, nil
	}
	return nil, fmt.Errorf("there is no program %s", name)
}

// Prepare loads what probes need and is not loaded yet, so that Attach does not.
func (p *Programs) Prepare(probes []Probe) error {
	missing := map[string]bool{}
	for _, probe := range probes {
		if name := string(probe.Program); p.loaded.Programs[name] == nil {
			missing[name] = true
		}
	}
	if len(missing) == 0 {
		return nil
	}
	more, err := p.load(p.spec, p.loaded.Maps, func(name string) bool { return missing[name] })
	if err != nil {
		return p.refused(err)
	}
	defer more.Close() // programs keep their maps
	for name := range missing {
		if program := more.DetachProgram(name); program != nil {
			p.loaded.Programs[name] = program
		}
	}
	for name := range more.Maps {
		if p.loaded.Maps[name] == nil { // of those before none used it
			p.loaded.Maps[name] = more.DetachMap(name)
		}
	}
	return nil
}

// refused says what of a kernel without a ring buffer may be missing.
func (p *Programs) refused(err error) error {
	if p.perf {
		return whyNotOld(err)
	}
	return err
}

// Attachment is the probes in one process.
type Attachment struct{ links []link.Link }

// Close takes the probes out. It waits until no thread is in one of them: 150 ms
// each where the kernel has no uprobe_multi, so all at the same time.
func (a *Attachment) Close() error {
	errs := make(chan error, len(a.links))
	for _, l := range a.links {
		go func() { errs <- l.Close() }()
	}
	var all error
	for range a.links {
		all = errors.Join(all, <-errs)
	}
	a.links = nil
	return all
}

// PutBinary tells the programs about an executable.
func (p *Programs) PutBinary(id uint32, b *Binary, operations map[OperationKey]Operation) error {
	if err := p.loaded.Maps[etcdMapBinaries].Put(id, b); err != nil {
		return fmt.Errorf("binary %d: %w", id, err)
	}
	for key, o := range operations {
		key.Binary = id
		if err := p.loaded.Maps[etcdMapOperations].Put(&key, &o); err != nil {
			return fmt.Errorf("operation %d of binary %d: %w", o.Code, id, err)
		}
	}
	return nil
}

// RemoveBinary makes the programs forget an executable that no process runs any
// more.
func (p *Programs) RemoveBinary(id uint32, operations map[OperationKey]Operation) error {
	err := p.loaded.Maps[etcdMapBinaries].Delete(id)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil // they had no room for it
	}
	for key := range operations {
		key.Binary = id
		err = errors.Join(err, p.loaded.Maps[etcdMapOperations].Delete(&key))
	}
	return err
}

// PutProcess tells the programs about a process, or changes what they know of it.
// Its requests are recorded from now on.
func (p *Programs) PutProcess(pid int, is Process) error {
	tgid, err := p.pids.keep(pid)
	if err != nil {
		return err
	}
	err = p.loaded.Maps[etcdMapProcesses].Put(tgid, &is)
	if err != nil {
		p.pids.let(pid)
	}
	return err
}

// RemoveProcess makes the programs forget a process and what they counted of it.
func (p *Programs) RemoveProcess(pid int) error {
	tgid := p.pids.host(pid)
	p.pids.let(pid)
	err := p.loaded.Maps[etcdMapProcesses].Delete(tgid)
	var key etcdDistributionKey
	var gone []etcdDistributionKey
	var values []etcdDistribution
	for all := p.loaded.Maps[etcdMapDistributions].Iterate(); all.Next(&key, &values); {
		if key.Tgid == tgid {
			gone = append(gone, key)
		}
	}
	for _, key := range gone {
		err = errors.Join(err, p.loaded.Maps[etcdMapDistributions].Delete(&key))
	}
	return err
}

// Bounds are the upper ends of the buckets of a Distribution, the last one apart,
// which has none.
var Bounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// Distribution is how long the requests of one kind took, since the process was
// put. Only requests that succeeded are in it.
type Distribution struct {
	PID       uint32
	Kind      Kind
	Operation uint8
	Sum       time.Duration
	Count     [len(Bounds) + 1]uint64
}

// Distributions reads all, in no order.
func (p *Programs) Distributions() ([]Distribution, error) {
	var all []Distribution
	var key etcdDistributionKey
	var cpus []etcdDistribution
	entries := p.loaded.Maps[etcdMapDistributions].Iterate()
	for entries.Next(&key, &cpus) {
		d := Distribution{PID: p.pids.here(key.Tgid), Kind: Kind(key.Kind), Operation: key.Operation}
		for _, c := range cpus {
			d.Sum += time.Duration(c.Sum)
			for i, n := range c.Count {
				d.Count[i] += n
			}
		}
		all = append(all, d)
	}
	return all, entries.Err()
}

// Counters are what the programs count, since Load.
type Counters struct {
	Sent       uint64 // records that are in the buffer, or were: not those of Lost
	Unreadable uint64 // records and other runs that could not read some of etcd's memory
	NoPeer     uint64 // requests in whose context no client was found
	Unfinished uint64 // requests of etcd 3.4 whose end was not seen
}

// Counters reads them.
func (p *Programs) Counters() (Counters, error) {
	var c Counters
	for which, to := range map[etcdCounter]*uint64{
		etcdCounterCOUNT_SENT: &c.Sent, etcdCounterCOUNT_UNREADABLE: &c.Unreadable,
		etcdCounterCOUNT_NO_PEER: &c.NoPeer, etcdCounterCOUNT_UNFINISHED: &c.Unfinished,
	} {
		var cpus []uint64
		if err := p.loaded.Maps[etcdMapCounters].Lookup(uint32(which), &cpus); err != nil {
			return c, err
		}
		for _, n := range cpus {
			*to += n
		}
	}
	return c, nil
}

// Lost is how many records there was no room for since Load, and how many requests
// could not be read at all. With a ring it costs nothing to ask, with a perf buffer a
// system call.
func (p *Programs) Lost() uint64 {
	if p.lost == nil {
		var n uint64
		if p.loaded.Maps[etcdMapLost].Lookup(uint32(0), &n) != nil {
			return 0 // an array has all its entries
		}
		return n
	}
	var n [8]byte
	if _, err := p.lost.ReadAt(n[:], 0); err != nil {
		return 0 // an array of one number has eight bytes
	}
	return binary.NativeEndian.Uint64(n[:])
}

// Drain hands over the records that lie in the buffer now and does not wait for more,
// nor stay while they come as fast as they are read. Nobody is woken for a record,
// because that would cost etcd more than all else. Call it every few milliseconds,
// not after Close: an empty ring costs no system call, an empty perf buffer one. raw is
// used again for the next record.
func (p *Programs) Drain(each func(raw []byte)) error { return p.records.drain(each) }

// PID is under which id this process knows the one of a record: 0 if it has none
// here. A process that has begun since is known after RenewPIDs.
func (p *Programs) PID(tgid uint32) uint32 { return p.pids.here(tgid) }

// TID is the thread of a record as this process knows it, or 0.
func (p *Programs) TID(tid uint32) uint32 {
	if p.pids != nil {
		return 0 // threads come and go: none is asked for
	}
	return tid
}

// RenewPIDs learns which processes there are. It does nothing where this process
// sees the ids of the host.
func (p *Programs) RenewPIDs() error { return p.pids.look() }

// Close takes everything out of the kernel that is not attached.
func (p *Programs) Close() error {
	err := errors.Join(p.records.Close(), p.pids.Close())
	p.loaded.Close()
	return err
}
