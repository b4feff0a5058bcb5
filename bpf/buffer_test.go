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
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/etcdreceiver/etcdreceiver/internal/gobinary"
)

// buffers are the two ways in which records reach us.
var buffers = map[string]Options{"ring": {}, "perf buffer": {PerfUprobes: true, PerfBuffer: true}}

// tell makes a record, whose Number is *at: the program for (*LeaseServer).LeaseRevoke
// finds its request in the same register.
//
//go:noinline
func tell(_, _, _ uint64, at *uint64) {
	var frame [512]byte // a function with a stack check
	untold(&frame, at)
}

//go:noinline
func untold(*[512]byte, *uint64) {}

// notHere skips what this machine forbids. CI must skip nothing.
func notHere(t *testing.T, why error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("CI must skip nothing: ", why)
	}
	t.Skip("NOT PROVEN: ", why)
}

// loaded are the programs in the kernel.
func loaded(t *testing.T, o Options) *Programs {
	t.Helper()
	p, err := Load(o)
	if errors.Is(err, fs.ErrPermission) {
		notHere(t, err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, p.Close()) })
	return p
}

// telling loads the programs, with a probe in tell.
func telling(t *testing.T, o Options) *Programs {
	t.Helper()
	p := loaded(t, o)
	const self = "/proc/self/exe"
	file, err := os.Open(self)
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	exe, err := gobinary.Open(file)
	require.NoError(t, err)
	found, err := exe.Functions(func(name []byte) bool { return string(name) == "github.com/etcdreceiver/etcdreceiver/bpf.tell" })
	require.NoError(t, err)
	require.Len(t, found, 1)
	at, err := exe.StackCheck(found[0])
	require.NoError(t, err)
	offset, err := exe.FileOffset(at)
	require.NoError(t, err)
	require.NoError(t, p.PutBinary(1, &Binary{Layout: LayoutLong, LeaseRevoking: at}, nil))
	require.NoError(t, p.PutProcess(os.Getpid(), Process{Binary: 1, Checked: 1}))
	a, err := p.Attach(self, os.Getpid(), []Probe{{WriteMet, offset}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, a.Close()) })
	return p
}

// drained are the records that one drain hands over.
func drained(t *testing.T, p *Programs) (all []Record) {
	t.Helper()
	require.NoError(t, p.Drain(func(raw []byte) {
		var r Record
		require.NoError(t, Decode(raw, &r))
		all = append(all, r)
	}))
	return all
}

func TestEachRecordIsReadOrCountedAsLost(t *testing.T) {
	const threads, each = 4, 2000
	for name, o := range buffers {
		t.Run(name, func(t *testing.T) {
			o.RingBytes = 64 << 10
			p := telling(t, o)
			var all sync.WaitGroup
			for range threads {
				all.Go(func() {
					for n := range uint64(each) {
						tell(0, 0, 0, &n)
					}
				})
			}
			all.Wait() // the buffer is not read meanwhile
			read, lost := len(drained(t, p)), p.Lost()
			counted, err := p.Counters()
			require.NoError(t, err)
			t.Logf("%d of %d read, %d lost", read, threads*each, lost)
			assert.Equal(t, Counters{Sent: uint64(read)}, counted)
			assert.EqualValues(t, threads*each, uint64(read)+lost)
			assert.Greater(t, read, 100, "there is room for more than a hundred")
			assert.NotZero(t, lost)

			one := uint64(1)
			tell(0, 0, 0, &one)
			assert.Len(t, drained(t, p), 1, "there is room again")
			assert.Equal(t, lost, p.Lost())
		})
	}
}

func TestADrainHoldsBackWhatIsYoungerThanItsBegin(t *testing.T) {
	o := buffers["perf buffer"]
	o.RingBytes = 64 << 10
	p := telling(t, o)
	began, err := monotonic()
	require.NoError(t, err)
	one := uint64(1)
	tell(0, 0, 0, &one)
	require.NoError(t, p.records.(*perfBuffer).drainBefore(began, func([]byte) { t.Error("it is younger") }))
	assert.Len(t, drained(t, p), 1)
}

// A goroutine may be on another CPU each time.
func TestTheRecordsOfAGoroutineComeInTheirOrder(t *testing.T) {
	const threads, each = 4, 2000
	for name, o := range buffers {
		t.Run(name, func(t *testing.T) {
			o.RingBytes = 8 << 20
			p := telling(t, o)
			var cpus unix.CPUSet
			require.NoError(t, unix.SchedGetaffinity(0, &cpus))
			if cpus.Count() < 2 {
				t.Skip("SKIPPED: one CPU has one order")
			}
			var all sync.WaitGroup
			for range threads {
				all.Go(func() {
					runtime.LockOSThread() // to the end: nobody else wants a thread on one CPU
					for n := range uint64(each) {
						moveAway(t, &cpus)
						tell(0, 0, 0, &n)
					}
				})
			}
			done := make(chan struct{})
			go func() { all.Wait(); close(done) }()
			next := map[uint64]int64{}
			for last := false; !last; time.Sleep(time.Millisecond) {
				select {
				case <-done:
					last = true
				default:
				}
				for _, r := range drained(t, p) {
					require.Equal(t, next[r.Goroutine], r.Number)
					next[r.Goroutine]++
				}
			}
			require.Len(t, next, threads)
			for _, n := range next {
				assert.EqualValues(t, each, n, "the last drain hands over all that was made before")
			}
		})
	}
}

// moveAway brings this thread to any of the CPUs.
func moveAway(t *testing.T, all *unix.CPUSet) {
	var to unix.CPUSet
	for to.Count() == 0 {
		if cpu := rand.IntN(len(all) * 64); all.IsSet(cpu) {
			to.Set(cpu)
		}
	}
	assert.NoError(t, unix.SchedSetaffinity(0, &to))
}

// sample is a record as a perf buffer has it.
func sample(time uint64, name byte) []byte {
	h := etcdHeader{Ktime: time, Operation: name}
	return append(raw(h, 0), 0xaa, 0xaa, 0xaa, 0xaa)
}

func names(m *merger, until uint64) (all string) {
	m.until(until, func(raw []byte) { all += string(raw[1:2]) })
	return all
}

func TestRecordsOfTwoCPUsAreMergedByTheirTimes(t *testing.T) {
	var m merger
	m.add(sample(10, 'a')) // one CPU
	m.add(sample(30, 'd'))
	m.add(sample(30, 'e'))
	m.add(sample(50, 'g'))
	m.add(sample(20, 'b')) // the other one
	m.add(sample(20, 'c'))
	m.add(sample(40, 'f'))
	assert.Equal(t, "abcde", names(&m, 40), "and what is younger is held back")
	assert.Empty(t, names(&m, 40))
	m.add(sample(45, 'i'))
	m.add(sample(35, 'h')) // read late
	assert.Equal(t, "hfig", names(&m, 60))
	assert.Empty(t, names(&m, 1<<63))
}

func TestWhatIsTooShortForATimeIsHandedOverAsItIs(t *testing.T) {
	var m merger
	m.add(sample(10, 'a'))
	m.add(nil)
	m.add(make([]byte, 7))
	m.add(make([]byte, 31))
	var lengths []int
	m.until(20, func(raw []byte) {
		lengths = append(lengths, len(raw))
		var r Record
		assert.Error(t, Decode(raw, &r))
	})
	assert.Equal(t, []int{0, 0, 24, 32}, lengths)
}

func FuzzNoSampleIsLostByMerging(f *testing.F) {
	f.Add(sample(10, 'a'), sample(5, 'b'), uint64(7))
	f.Add([]byte{}, []byte{1, 2, 3}, uint64(0))
	f.Fuzz(func(t *testing.T, a, b []byte, until uint64) {
		var m merger
		m.add(a)
		m.add(b)
		var all []string
		for _, until := range []uint64{until, 1<<64 - 1} {
			var last uint64
			m.until(until, func(raw []byte) {
				if len(raw) >= 32 {
					now := binary.NativeEndian.Uint64(raw[24:])
					require.GreaterOrEqual(t, now, last)
					require.Less(t, now, until)
					last = now
				}
				all = append(all, string(raw))
			})
		}
		for _, h := range m.held {
			require.Equal(t, uint64(1<<64-1), h.time)
			all = append(all, string(m.bytes[h.from:h.to]))
		}
		require.ElementsMatch(t, []string{string(a[:len(a)&^7]), string(b[:len(b)&^7])}, all)
	})
}

// oldest are the programs for kernels without a ring, and what they call.
var oldest = map[string]struct {
	load  func() (*ebpf.CollectionSpec, error)
	calls []asm.BuiltinFunc
}{
	"on functions of etcd": {loadPerf, []asm.BuiltinFunc{
		asm.FnMapLookupElem, asm.FnMapUpdateElem, asm.FnMapDeleteElem, asm.FnKtimeGetNs, asm.FnGetPrandomU32, asm.FnGetCurrentPidTgid,
		asm.FnPerfEventOutput, asm.FnProbeReadUser,
	}},
	"on tracepoints": {loadNamedperf, []asm.BuiltinFunc{
		asm.FnMapLookupElem, asm.FnMapUpdateElem, asm.FnMapDeleteElem, asm.FnKtimeGetNs, asm.FnGetCurrentPidTgid, asm.FnGetCurrentComm,
		asm.FnPerfEventOutput, asm.FnProbeReadKernel,
	}},
}

// No such kernel is at hand. What each of these came with: Linux 5.3 has loops, and
// cilium/ebpf calls bpf_probe_read where bpf_probe_read_user and _kernel, of 5.5, are
// not there.
func TestWhatThePerfBufferTakesIsInLinux53(t *testing.T) {
	for which, of := range oldest {
		t.Run(which, func(t *testing.T) {
			spec, err := of.load()
			require.NoError(t, err)
			for name, m := range spec.Maps {
				assert.Contains(t, []ebpf.MapType{
					ebpf.Array, ebpf.Hash, ebpf.LRUHash, ebpf.PerCPUArray, ebpf.PerCPUHash, ebpf.PerfEventArray, ebpf.ProgramArray,
				}, m.Type, name)
				assert.Zero(t, m.Flags&^unix.BPF_F_RDONLY_PROG, "%s: flags", name) // 5.2
			}
			calls := map[asm.BuiltinFunc]bool{}
			for name, p := range spec.Programs {
				for n, i := range p.Instructions {
					if i.IsBuiltinCall() {
						calls[asm.BuiltinFunc(i.Constant)] = true
					}
					if atomic := i.OpCode.AtomicOp(); atomic != asm.InvalidAtomic {
						assert.Equal(t, asm.AddAtomic, atomic, "%s: atomic", name)
					}
					assert.Nil(t, btf.CORERelocationMetadata(&p.Instructions[n]), "%s: it needs BTF", name)
				}
			}
			assert.ElementsMatch(t, of.calls, slices.Collect(maps.Keys(calls)), "and no call of another program, which has no place beside calls of functions")
		})
	}
}

// Before 5.5 the verifier does not know them.
func TestThePerfBufferIsVerifiedWithoutTheValuesOfConstants(t *testing.T) {
	for which, of := range oldest {
		t.Run(which, func(t *testing.T) {
			spec, err := of.load()
			require.NoError(t, err)
			constants := spec.Maps[".rodata"]
			require.NotZero(t, constants.Flags&unix.BPF_F_RDONLY_PROG)
			constants.Flags &^= unix.BPF_F_RDONLY_PROG
			for _, p := range spec.Programs {
				p.AttachType = ebpf.AttachNone
			}
			err = withMemory(func() error {
				all, err := ebpf.NewCollection(spec)
				if err == nil {
					all.Close()
				}
				return err
			})
			if errors.Is(err, unix.EPERM) {
				notHere(t, err)
			}
			require.NoError(t, err)
		})
	}
}

func TestAKernelThatIsTooOldIsToldSo(t *testing.T) {
	for _, err := range []error{fmt.Errorf("map .rodata: %w", ebpf.ErrNotSupported), fmt.Errorf("program: %w", &ebpf.VerifierError{Cause: unix.EINVAL})} {
		require.ErrorIs(t, whyNotOld(err), errTooOld)
		assert.ErrorContains(t, whyNotOld(err), err.Error(), "the kernel's own reason")
	}
	forbidden := fmt.Errorf("map: %w", unix.EPERM)
	assert.Equal(t, forbidden, whyNotOld(forbidden))
}
