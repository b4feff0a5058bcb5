// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/perf"
	"golang.org/x/sys/unix"
)

// perfBuffer is a ring for each CPU, which has no order with the others.
type perfBuffer struct {
	*perf.Reader
	record perf.Record
	merger merger
}

// openPerfBuffer makes rings that have so many bytes together, or up to twice as many:
// each has a number of pages that is a power of two.
func openPerfBuffer(records *ebpf.Map, bytes int) (buffer, error) {
	each := max(bytes/onlineCPUs(), os.Getpagesize())
	var reader *perf.Reader
	err := withMemory(func() (err error) {
		// Nobody waits to be woken, but the kernel must be told when: as seldom as it can.
		reader, err = perf.NewReaderWithOptions(records, each, perf.ReaderOptions{Watermark: each - 1})
		return withErrno(err)
	})
	if err != nil {
		return nil, err
	}
	reader.SetDeadline(longPast)
	return &perfBuffer{Reader: reader}, nil
}

// withErrno gives back to an error what cilium/ebpf has put into words.
func withErrno(err error) error {
	for _, errno := range []unix.Errno{unix.EPERM, unix.EACCES} {
		if err != nil && strings.HasSuffix(err.Error(), errno.Error()) {
			return fmt.Errorf("%s%w", strings.TrimSuffix(err.Error(), errno.Error()), errno)
		}
	}
	return err
}

// onlineCPUs is how many the host has: possible ones may be many more, and
// runtime.NumCPU is about this process. A record of one that comes later is lost.
func onlineCPUs() int {
	text, _ := os.ReadFile("/proc/stat") // a line for each
	return max(strings.Count(string(text), "\ncpu"), 1)
}

// drain hands over what was made before now.
func (p *perfBuffer) drain(each func(raw []byte)) error {
	now, err := monotonic()
	if err != nil {
		return err
	}
	return p.drainBefore(now, each)
}

// drainBefore hands over what was made before a time, which is not in the future. The
// records of a goroutine are in their order then, on whatever CPUs it was: what comes
// after one that has come too late for this drain is later than its begin, so that it is
// held until the next drain.
func (p *perfBuffer) drainBefore(time uint64, each func(raw []byte)) error {
	for {
		switch err := p.ReadInto(&p.record); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			p.merger.until(time, each)
			return nil
		case err != nil:
			return err
		case p.record.LostSamples == 0: // else the programs have counted them
			p.merger.add(p.record.RawSample)
		}
	}
}

// merger brings records of several CPUs into the order of their times.
type merger struct {
	bytes []byte
	held  []held
}

// held is a record that lies in merger.bytes.
type held struct {
	time     uint64
	from, to int
}

// add takes a record as a perf buffer has it: with up to seven bytes behind it, as all
// records have a multiple of eight. Those of one CPU come in their order.
func (m *merger) add(raw []byte) {
	raw = raw[:len(raw)&^7]
	var time uint64
	if at := unsafe.Offsetof(etcdHeader{}.Ktime); uintptr(len(raw)) >= at+8 { // else no record, as Decode will tell
		time = binary.NativeEndian.Uint64(raw[at:])
	}
	from := len(m.bytes)
	m.bytes = append(m.bytes, raw...)
	m.held = append(m.held, held{time, from, len(m.bytes)})
}

// until hands over the records before a time. Those with the same time stay as they
// came: they are of one program.
func (m *merger) until(time uint64, each func(raw []byte)) {
	slices.SortStableFunc(m.held, func(a, b held) int { return cmp.Compare(a.time, b.time) })
	n, _ := slices.BinarySearchFunc(m.held, time, func(h held, time uint64) int { return cmp.Compare(h.time, time) })
	for _, h := range m.held[:n] {
		each(m.bytes[h.from:h.to:h.to])
	}
	var rest merger
	for _, h := range m.held[n:] { // few
		rest.add(m.bytes[h.from:h.to])
	}
	m.bytes, m.held = append(m.bytes[:0], rest.bytes...), append(m.held[:0], rest.held...)
}

// monotonic is CLOCK_MONOTONIC, ns.
func monotonic() (uint64, error) {
	var now unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return uint64(now.Nano()), err
}
