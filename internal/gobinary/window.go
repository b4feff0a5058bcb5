// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"slices"
)

// windowBytes is large enough to make system calls rare and small enough to
// stay in the processor's cache.
const windowBytes = 64 << 10

// window reads small pieces of memory through one buffer. It is cheap as long
// as addresses ascend. Not safe for concurrent use.
type window struct {
	m     *image
	bytes []byte // memory from addr
	addr  uint64
}

func newWindow(m *image) *window {
	return &window{m: m, bytes: make([]byte, 0, windowBytes)}
}

// at returns n bytes of memory, at most windowBytes. They are valid until the
// next call and must not be changed.
func (w *window) at(addr, n uint64) ([]byte, error) {
	if have := uint64(len(w.bytes)); addr < w.addr || addr-w.addr > have || n > have-(addr-w.addr) {
		if err := w.move(addr); err != nil {
			return nil, err
		}
		if uint64(len(w.bytes)) < n {
			return nil, corrupt("%d bytes at %#x are not in the file", n, addr)
		}
	}
	return w.bytes[addr-w.addr:][:n], nil
}

// word returns the 8-byte word at addr.
func (w *window) word(addr uint64) (uint64, error) {
	p, err := w.at(addr, 8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(p), nil
}

func (w *window) move(addr uint64) error {
	w.addr, w.bytes = addr, w.bytes[:windowBytes]
	n, err := w.m.readUpTo(w.bytes, addr)
	if err != nil {
		n = 0
	}
	w.bytes = w.bytes[:n]
	return err
}

// errFound ends a scan, which then returns nil.
var errFound = errors.New("found")

// scan searches segments for aligned 8-byte words. It calls visit for each place
// until that returns an error or nothing is left of maxScanBytes.
func (m *image) scan(segments []segment, words []uint64, visit func(addr, word uint64) error) error {
	w := newWindow(m)
	least, most := slices.Min(words), slices.Max(words) // one comparison is enough for nearly all
	for _, s := range segments {
		skew := -s.addr & 7 // to the first aligned word
		if skew > s.size {
			continue
		}
		size := (s.size - skew) &^ 7
		for addr, end := s.addr+skew, s.addr+skew+size; addr < end && m.left > 0; addr += windowBytes {
			if err := w.move(addr); err != nil {
				return err
			}
			m.left -= min(m.left, uint64(len(w.bytes)))
			// The window may reach beyond size; a few words more do not matter.
			for i := 0; i+8 <= len(w.bytes); i += 8 {
				word := binary.LittleEndian.Uint64(w.bytes[i:])
				if word-least > most-least || !slices.Contains(words, word) {
					continue
				}
				if err := visit(addr+uint64(i), word); errors.Is(err, errFound) {
					return nil
				} else if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// eachPointer calls visit for each place that points to addr, as scan does. Where the
// loader writes pointers the memory need not be read for it, which would take 2 ms. Some
// places are visited twice.
func (m *image) eachPointer(addr uint64, visit func(at, word uint64) error) error {
	if m.left == 0 {
		return nil
	}
	m.left -= min(m.left, uint64(len(m.relocations.all))*8)
	for _, r := range m.relocations.all {
		if r.addend != addr {
			continue
		}
		if err := visit(r.addr, addr); errors.Is(err, errFound) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return m.scan(m.that(writable), []uint64{addr}, visit)
}

// that are the segments of a kind.
func (m *image) that(kind func(segment) bool) []segment {
	return slices.DeleteFunc(slices.Clone(m.segments), func(s segment) bool { return !kind(s) })
}

// Kinds of segments.
func executable(s segment) bool    { return s.flags&elf.PF_X != 0 }
func notExecutable(s segment) bool { return s.flags&elf.PF_X == 0 }
func writable(s segment) bool      { return s.flags&elf.PF_W != 0 }
