// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"math/bits"
	"sort"
)

// relocation is a word that the loader writes: addend plus the load address.
// Here the load address is 0, so that all addresses are as linked.
type relocation struct{ addr, addend uint64 }

// readRelocations reads the RELATIVE relocations of a position independent
// file. The file itself often has zeros at their place.
//
// Packed relocations (DT_RELR) are left out: there the file has the addend in
// its place.
func (m *image) readRelocations(dynamic segment) error {
	table, size, err := m.relocationTable(dynamic)
	if err != nil {
		return fmt.Errorf("read the dynamic section: %w", err)
	}
	const entryBytes = 24
	count := size / entryBytes
	if count > maxRelocations {
		return corrupt("%d relocations", count)
	}
	if _, ok := m.segmentOf(table, count*entryBytes); !ok && count > 0 {
		return corrupt("%d relocations at %#x are not in the file", count, table)
	}
	m.relocations = make([]relocation, 0, count)
	entries := newWindow(m)
	for i := range count {
		entry, err := entries.at(table+i*entryBytes, entryBytes)
		if err != nil {
			return fmt.Errorf("read relocations: %w", err)
		}
		if info := binary.LittleEndian.Uint64(entry[8:]); elf.R_TYPE64(info) == m.arch.relative() {
			m.relocations = append(m.relocations, relocation{
				addr:   binary.LittleEndian.Uint64(entry),
				addend: binary.LittleEndian.Uint64(entry[16:]),
			})
		}
	}
	m.relocations = sortByAddr(m.relocations)
	return nil
}

// sortByAddr is a radix sort: Go's linker leaves 120,000 in 8,000 runs, for which
// slices.SortFunc takes six times as long, a third of what it takes to inspect an etcd.
func sortByAddr(all []relocation) []relocation {
	largest := uint64(0)
	for _, r := range all {
		largest = max(largest, r.addr)
	}
	other := make([]relocation, len(all))
	for shift := 0; shift < bits.Len64(largest); shift += 8 {
		var next [256 + 1]int // where the next one with this byte belongs
		for _, r := range all {
			next[r.addr>>shift&0xff+1]++
		}
		for i := range 256 {
			next[i+1] += next[i]
		}
		for _, r := range all {
			digit := r.addr >> shift & 0xff
			other[next[digit]] = r
			next[digit]++
		}
		all, other = other, all
	}
	return all
}

// relocationTable finds address and size in bytes of the RELA table.
func (m *image) relocationTable(dynamic segment) (table, size uint64, _ error) {
	const entryBytes, maxEntries = 16, 256 // real files have about 30 entries
	p := make([]byte, min(dynamic.size/entryBytes, maxEntries)*entryBytes)
	if err := m.readFile(p, dynamic.offset); err != nil {
		return 0, 0, err
	}
	for ; len(p) > 0; p = p[entryBytes:] {
		value := binary.LittleEndian.Uint64(p[8:])
		switch elf.DynTag(binary.LittleEndian.Uint64(p)) {
		case elf.DT_NULL:
			return table, size, nil
		case elf.DT_RELA:
			table = value
		case elf.DT_RELASZ:
			size = value
		}
	}
	return table, size, nil
}

// relocate overwrites the words of p, which is memory at addr, that the loader
// would write. The first and the last may lie in p only in part.
func (m *image) relocate(p []byte, addr uint64) {
	if len(m.relocations) == 0 {
		return
	}
	end := addr + uint64(len(p))
	from := addr - min(addr, 7)
	i := sort.Search(len(m.relocations), func(i int) bool { return m.relocations[i].addr >= from })
	for ; i < len(m.relocations) && m.relocations[i].addr < end; i++ {
		at := m.relocations[i].addr
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], m.relocations[i].addend)
		if at < addr {
			copy(p, word[addr-at:])
		} else {
			copy(p[at-addr:], word[:])
		}
	}
}
