// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"math"
)

// relocation is a word that the loader writes: addend plus the load address.
// Here the load address is 0, so that all addresses are as linked.
type relocation struct{ addr, addend uint64 }

// relocations are those of a position independent file by the page that they
// begin in. Go's linker leaves 120,000 in 8,000 runs: to sort them takes longer
// than all else that is done with them.
type relocations struct {
	all   []relocation // page after page, in each as in the file
	first uint64       // page
	ends  []uint32     // of each page in all
}

// in returns those that begin in a page.
func (r *relocations) in(page uint64) []relocation {
	i := page - r.first
	if i >= uint64(len(r.ends)) {
		return nil
	}
	begin := uint32(0)
	if i > 0 {
		begin = r.ends[i-1]
	}
	return r.all[begin:r.ends[i]]
}

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
	all := make([]relocation, 0, count)
	entries := newWindow(m)
	for i := range count {
		entry, err := entries.at(table+i*entryBytes, entryBytes)
		if err != nil {
			return fmt.Errorf("read relocations: %w", err)
		}
		if info := binary.LittleEndian.Uint64(entry[8:]); elf.R_TYPE64(info) == m.arch.relative() {
			all = append(all, relocation{
				addr:   binary.LittleEndian.Uint64(entry),
				addend: binary.LittleEndian.Uint64(entry[16:]),
			})
		}
	}
	m.relocations, err = byPage(all)
	m.pages.kept = nil // they were kept as they are in the file
	return err
}

func byPage(all []relocation) (r relocations, _ error) {
	if len(all) == 0 {
		return r, nil
	}
	last := uint64(0)
	r.first = math.MaxUint64
	for _, one := range all {
		page := one.addr / pageBytes
		r.first, last = min(r.first, page), max(last, page)
	}
	if last-r.first >= maxRelocatedPages {
		return r, corrupt("relocations from page %#x to %#x", r.first, last)
	}
	next := make([]uint32, last-r.first+2) // of each page, then where it begins
	for _, one := range all {
		next[one.addr/pageBytes-r.first+1]++
	}
	for i, n := range next {
		if n > pageBytes/8 { // words, none over another one
			return r, corrupt("%d relocations in one page", n)
		}
		if i > 0 {
			next[i] += next[i-1]
		}
	}
	r.all = make([]relocation, len(all))
	for _, one := range all {
		at := &next[one.addr/pageBytes-r.first]
		r.all[*at] = one
		*at++
	}
	r.ends = next[:len(next)-1] // each begins where the one before it ends now
	return r, nil
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
	if len(m.relocations.all) == 0 || len(p) == 0 {
		return
	}
	end := addr + uint64(len(p))
	from := addr - min(addr, 7)
	for page := from / pageBytes; page <= (end-1)/pageBytes; page++ {
		for _, r := range m.relocations.in(page) {
			if r.addr < from || r.addr >= end {
				continue
			}
			var word [8]byte
			binary.LittleEndian.PutUint64(word[:], r.addend)
			if r.addr < addr {
				copy(p, word[addr-r.addr:])
			} else {
				copy(p[r.addr-addr:], word[:])
			}
		}
	}
}
