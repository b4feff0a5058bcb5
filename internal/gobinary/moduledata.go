// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"fmt"
	"slices"
)

// moduledata is the root of all that the Go runtime knows about a program.
//
// Source: Go runtime/symtab.go, moduledata.
type moduledata struct {
	table       pclntab
	text, etext uint64
	names       list // names of functions, bytes
	records     list // list and records of functions, bytes
	words       []uint64
}

// list is a Go slice in memory.
type list struct{ addr, len uint64 }

// Words of moduledata. The first 24 have been the same since Go 1.16.
const (
	wordNames   = 1 // a slice: address, length, capacity
	wordRecords = 13
	wordList    = 16
	wordMinPC   = 20
	wordMaxPC   = 21
	wordText    = 22
	wordEText   = 23

	moduleWords = 52 // as many as are read; the last used one is 50
)

// findModule finds the function table and the moduledata that points at it.
func (m *image) findModule() (*moduledata, error) {
	var found *moduledata
	seen, err := m.eachTable(func(t pclntab) (err error) {
		if found, err = m.moduleOf(t); found != nil {
			return errFound // what lies behind, the table itself most of all, need not be read
		}
		return err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("search the function table and its module data: %w", err)
	case !seen:
		return nil, fmt.Errorf("%w: no function table (pclntab) of Go 1.16 or later", ErrNotGo)
	case found == nil:
		return nil, fmt.Errorf("%w: a function table, but no module data (runtime.firstmoduledata) that belongs to it", ErrNotGo)
	}
	return found, nil
}

// moduleOf finds the moduledata that points at a table, nil if there is none.
func (m *image) moduleOf(t pclntab) (found *moduledata, _ error) {
	candidates := 0
	err := m.eachPointer(t.addr, func(addr, _ uint64) (err error) {
		found, err = m.readModule(addr, t)
		if candidates++; found != nil || (candidates == maxCandidates && err == nil) {
			return errFound
		}
		return err
	})
	return found, err
}

// readModule reads the moduledata at addr, nil if it does not belong to t. A
// pointer to the table alone proves little; so many that agree do.
func (m *image) readModule(addr uint64, t pclntab) (*moduledata, error) {
	words, err := m.words(addr, moduleWords)
	if err != nil {
		return nil, unlessCorrupt(err)
	}
	d := &moduledata{table: t, text: words[wordText], etext: words[wordEText], words: words}
	functions, ok := d.slice(wordList, maxFunctions+1)
	if !ok || functions != (list{t.table, t.functions + 1}) {
		return nil, nil
	}
	if d.names, ok = d.slice(wordNames, maxNameTableBytes); !ok || d.names.addr != t.names {
		return nil, nil
	}
	if d.records, ok = d.slice(wordRecords, maxTableBytes); !ok || d.records.addr != t.table {
		return nil, nil
	}
	inOrder := slices.IsSorted([]uint64{d.text, words[wordMinPC], words[wordMaxPC], d.etext})
	if !inOrder || (t.text != 0 && t.text != d.text) {
		return nil, nil
	}
	return d, nil
}

// slice returns the Go slice whose three words begin at word i. ok is false if
// it has more than limit elements or, like no slice of a linker, room for more.
func (d *moduledata) slice(i int, limit uint64) (_ list, ok bool) {
	s := list{addr: d.words[i], len: d.words[i+1]}
	return s, s.len <= limit && d.words[i+2] == s.len
}
