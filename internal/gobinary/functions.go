// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Function is a function that exists as such, not only inlined into others.
type Function struct {
	Name       string // as the linker knows it, with the path of the package
	Entry, End uint64 // virtual addresses as linked; the last bytes before End may be padding

	// Args is how many bytes of arguments and results, and room to spill
	// registers, its caller sets aside. It changes when the signature does.
	Args int32
}

// Functions returns the functions whose names match, in order of addresses.
// match sees each name of the table, some 50,000, also those of functions that were
// inlined everywhere. It must not keep nor change the bytes.
//
// Several functions may have the same name. Safe for concurrent use.
func (b *Binary) Functions(match func(name []byte) bool) ([]Function, error) {
	names, err := b.module.matchNames(b.image, match)
	if err != nil {
		return nil, fmt.Errorf("read names of functions: %w", err)
	}
	if len(names) == 0 {
		return nil, nil
	}
	functions, err := b.module.functions(b.image, names)
	if err != nil {
		return nil, fmt.Errorf("read functions: %w", err)
	}
	return functions, nil
}

// matchNames returns matching names by their offset in the table of names.
func (d *moduledata) matchNames(m *image, match func([]byte) bool) (map[uint32]string, error) {
	if _, ok := m.segmentOf(d.names.addr, d.names.len); !ok {
		return nil, corrupt("%d bytes of names at %#x are not in the file", d.names.len, d.names.addr)
	}
	matched := map[uint32]string{}
	names := newWindow(m)
	for offset := uint64(0); offset < d.names.len; {
		text, err := names.at(d.names.addr+offset, min(windowBytes, d.names.len-offset))
		if err != nil {
			return nil, err
		}
		whole := bytes.LastIndexByte(text, 0) + 1 // the last name may go on behind the window
		if offset+uint64(len(text)) == d.names.len {
			whole = len(text)
		}
		if whole == 0 {
			return nil, corrupt("the name of a function has more than %d bytes", len(text))
		}
		for name := range bytes.SplitSeq(text[:whole], []byte{0}) {
			if len(name) > 0 && match(name) {
				matched[uint32(offset)] = string(name)
			}
			offset += uint64(len(name)) + 1
		}
		offset-- // what follows the last zero is no name
	}
	return matched, nil
}

// functions walks over the records of all functions and keeps those with a
// name in names.
//
// Source: Go runtime/symtab.go, functab and _func.
func (d *moduledata) functions(m *image, names map[uint32]string) ([]Function, error) {
	var found []Function
	entries, records := newWindow(m), newWindow(m)
	t := &d.table
	size := t.entrySize()
	lastPC, lastOffset := uint64(0), uint64(0)
	for i := range t.functions {
		// An entry is the start of a function and the offset of its record;
		// the start of the next one follows.
		entry, err := entries.at(t.table+i*2*size, 3*size)
		if err != nil {
			return nil, err
		}
		pc, offset, end := t.number(entry), t.number(entry[size:]), t.number(entry[2*size:])
		// The linker writes both in order. This also keeps the windows cheap.
		if pc < lastPC || end < pc || offset < lastOffset || offset >= d.records.len {
			return nil, corrupt("function %d of %d at %#x, its record at %#x", i, t.functions, pc, offset)
		}
		lastPC, lastOffset = pc, offset
		name, args, err := t.record(records, offset)
		if err != nil {
			return nil, err
		}
		if text, ok := names[name]; ok {
			f := Function{Name: text, Entry: d.addr(pc), End: d.addr(end), Args: args}
			if f.Entry < d.text || f.End > d.etext {
				return nil, corrupt("function from %#x to %#x, text from %#x to %#x", f.Entry, f.End, d.text, d.etext)
			}
			found = append(found, f)
		}
	}
	return found, nil
}

// record reads a function's record: the offset of its name, and its Args.
func (t *pclntab) record(w *window, offset uint64) (name uint32, args int32, _ error) {
	p, err := w.at(t.table+offset+t.entrySize(), 8) // its first number is the start once more
	if err != nil {
		return 0, 0, err
	}
	return binary.LittleEndian.Uint32(p), int32(binary.LittleEndian.Uint32(p[4:])), nil
}

// addr turns a number of the list of functions into an address.
func (d *moduledata) addr(number uint64) uint64 {
	if d.table.format == format116 {
		return number
	}
	return d.text + number
}
