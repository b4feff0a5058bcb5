// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import "encoding/binary"

// pclntab is the header of a function table: where its parts lie in memory.
//
// Source: Go runtime/symtab.go, pcHeader; debug/gosym/pclntab.go, parsePclnTab.
type pclntab struct {
	addr      uint64
	format    tableFormat
	functions uint64 // how many
	text      uint64 // what offsets of functions count from; 0 if the header has none
	names     uint64 // address of the names, each ends with a NUL byte
	table     uint64 // address of the list of functions, which their records follow
}

// tableFormat is the first word of the function table.
type tableFormat uint32

const (
	format116 tableFormat = 0xfffffffa // Go 1.16, 1.17: absolute addresses
	format118 tableFormat = 0xfffffff0 // Go 1.18, 1.19: offsets from the start of the text
	format120 tableFormat = 0xfffffff1 // Go 1.20 and later: names differ a little
)

// eachTable calls visit for everything that looks like a function table, until
// that returns an error, and tells whether there was any. Only a moduledata that
// points at it makes one real: the magic number also occurs in debuggers, and in a
// program that has this package.
//
// Sections are not asked: the linker has three names for this one, and the
// names can be removed.
func (m *image) eachTable(visit func(pclntab) error) (seen bool, _ error) {
	candidates := 0
	look := func(addr, word uint64) error {
		t, ok, err := m.readTable(addr, tableFormat(word))
		if ok {
			seen = true
			err = visit(t)
		}
		if candidates++; candidates >= maxCandidates && err == nil {
			return errFound
		}
		return err
	}
	// The two bytes behind the magic number are zero; the next are the unit of
	// instruction lengths and the size of a pointer.
	tail := uint64(m.arch.quantum())<<48 | 8<<56
	words := []uint64{tail | uint64(format116), tail | uint64(format118), tail | uint64(format120)}
	err := m.scan(m.that(notExecutable), words, look)
	if err == nil && !seen {
		err = m.scan(m.that(executable), words, look) // some linkers put constants and code into one segment
	}
	return seen, err
}

// readTable reads the words behind the magic number; ok is false if they are
// not plausible.
func (m *image) readTable(addr uint64, format tableFormat) (_ pclntab, ok bool, _ error) {
	words, err := m.words(addr+8, 8)
	if err != nil {
		return pclntab{}, false, unlessCorrupt(err)
	}
	t := pclntab{addr: addr, format: format, functions: words[0]}
	parts := words[2:7] // offsets of names, units, files, program counters, functions
	if format != format116 {
		t.text, parts = words[2], words[3:8]
	}
	last := uint64(0)
	for _, offset := range parts {
		if offset <= last || offset > maxTableBytes {
			return pclntab{}, false, nil
		}
		last = offset
	}
	t.names, t.table = addr+parts[0], addr+parts[4]
	if t.functions == 0 || t.functions > maxFunctions {
		return pclntab{}, false, nil
	}
	_, ok = m.segmentOf(addr, parts[4]+(2*t.functions+1)*t.entrySize())
	return t, ok, nil
}

// entrySize is the size of each of the two numbers in the list of functions.
func (t *pclntab) entrySize() uint64 {
	if t.format == format116 {
		return 8
	}
	return 4
}

// number decodes an offset or an address of the list of functions.
func (t *pclntab) number(p []byte) uint64 {
	if t.format == format116 {
		return binary.LittleEndian.Uint64(p)
	}
	return uint64(binary.LittleEndian.Uint32(p))
}
