// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// image is the memory of a program just after it was loaded, at the addresses
// for which it was linked. It is read piece by piece from the file.
type image struct {
	r           io.ReaderAt
	arch        arch
	pie         bool
	segments    []segment
	relocations relocations // position independent files only
	pages       pages
	left        uint64 // of maxScanBytes
}

// segment is a part of the memory that comes from the file. What the program
// has zeroed behind it (.bss) does not belong to it.
type segment struct {
	addr, size uint64
	offset     uint64 // in the file; offset+size fits into int64
	flags      elf.ProgFlag
}

// contains reports whether n bytes from addr lie in s.
func (s segment) contains(addr, n uint64) bool {
	return addr >= s.addr && addr-s.addr <= s.size && n <= s.size-(addr-s.addr)
}

// segmentOf returns the segment with all n bytes from addr.
func (m *image) segmentOf(addr, n uint64) (segment, bool) {
	i := slices.IndexFunc(m.segments, func(s segment) bool { return s.contains(addr, n) })
	if i < 0 {
		return segment{}, false
	}
	return m.segments[i], true
}

// read fills p with the memory at addr.
func (m *image) read(p []byte, addr uint64) error {
	s, ok := m.segmentOf(addr, uint64(len(p)))
	if !ok {
		return corrupt("%d bytes at %#x are not in the file", len(p), addr)
	}
	if len(p) < pageBytes {
		return m.pages.copy(m, s, p, addr)
	}
	return m.readSegment(s, p, addr)
}

// readSegment is read for memory of one segment.
func (m *image) readSegment(s segment, p []byte, addr uint64) error {
	if err := m.readFile(p, s.offset+(addr-s.addr)); err != nil {
		return err
	}
	m.relocate(p, addr)
	return nil
}

// readUpTo is read for as much of p as the segment has, at least one byte.
func (m *image) readUpTo(p []byte, addr uint64) (int, error) {
	s, ok := m.segmentOf(addr, 1)
	if !ok {
		return 0, corrupt("the byte at %#x is not in the file", addr)
	}
	n := int(min(uint64(len(p)), s.size-(addr-s.addr)))
	return n, m.read(p[:n], addr)
}

// words reads n 8-byte words at addr. The caller has compared n with a limit.
func (m *image) words(addr, n uint64) ([]uint64, error) {
	if _, ok := m.segmentOf(addr, n*8); !ok {
		return nil, corrupt("%d words at %#x are not in the file", n, addr)
	}
	p := make([]byte, n*8)
	if err := m.read(p, addr); err != nil {
		return nil, err
	}
	words := make([]uint64, n)
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(p[i*8:])
	}
	return words, nil
}

// word reads the 8-byte word at addr.
func (m *image) word(addr uint64) (uint64, error) {
	var p [8]byte
	err := m.read(p[:], addr)
	return binary.LittleEndian.Uint64(p[:]), err
}

// readFile fills p from the file.
func (m *image) readFile(p []byte, offset uint64) error {
	if offset > math.MaxInt64 {
		return corrupt("file offset %#x", offset)
	}
	n, err := m.r.ReadAt(p, int64(offset))
	switch {
	case n == len(p):
		return nil
	case errors.Is(err, io.EOF):
		return corrupt("the file ends before offset %#x", offset+uint64(len(p)))
	}
	return fmt.Errorf("read %d bytes at file offset %#x: %w", len(p), offset, err)
}

// isCorrupt tells what the file is to blame for from what reading it is.
func isCorrupt(err error) bool { return errors.Is(err, ErrCorrupt) }

// unlessCorrupt is for searches, where a place that does not fit is passed over
// but a file that cannot be read ends the search.
func unlessCorrupt(err error) error {
	if isCorrupt(err) {
		return nil
	}
	return err
}
