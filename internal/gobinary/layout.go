// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"fmt"
	"strings"
)

// layout is what differs between Go versions in moduledata and type descriptors.
type layout struct {
	minGo, maxGo int // minor versions of Go; maxGo is 0 for "and later, until proven wrong"
	format       tableFormat

	// Words of moduledata.
	types     int // start of the type descriptors, then their end
	typelinks int // a slice; the one before it is the map of text sections
	itablinks int // a slice

	longNames     bool // lengths of names are two bytes, big endian, instead of a varint
	shiftedFields bool // offsets of fields are shifted left by one
}

// layouts are tried one by one. Versions and the first word of the function
// table leave two of them, and the wrong one of the two does look plausible in
// places, so exactly one must pass all of the proofs.
//
// Source: Go runtime/symtab.go, moduledata; runtime/type.go and
// internal/abi/type.go, name and structField, of each version.
var layouts = []layout{
	{minGo: 16, maxGo: 16, format: format116, types: 35, typelinks: 40, itablinks: 43, longNames: true, shiftedFields: true},
	{minGo: 17, maxGo: 17, format: format116, types: 35, typelinks: 40, itablinks: 43, shiftedFields: true},
	{minGo: 18, maxGo: 18, format: format118, types: 35, typelinks: 42, itablinks: 45, shiftedFields: true},
	{minGo: 19, maxGo: 19, format: format118, types: 35, typelinks: 42, itablinks: 45},
	{minGo: 20, maxGo: 25, format: format120, types: 37, typelinks: 44, itablinks: 47},
	{minGo: 26, format: format120, types: 37, typelinks: 45, itablinks: 48},
}

// proveLayout finds the layout of the type descriptors by looking at them, and
// then asks the Go version whether it agrees. minor is that of "go1.26.8": 26.
func (m *image) proveLayout(d *moduledata, minor int) (*typeTable, error) {
	var proven []*typeTable
	var reasons []string
	for _, l := range layouts {
		if l.format != d.table.format {
			continue
		}
		t := &typeTable{m: m, layout: l}
		err := t.open(d)
		switch {
		case err == nil:
			proven = append(proven, t)
		case isCorrupt(err):
			reasons = append(reasons, fmt.Sprintf("not as in Go 1.%d: %v", l.minGo, err))
		default:
			return nil, err
		}
	}
	switch {
	case len(proven) == 0:
		return nil, fmt.Errorf("%w: run-time types of Go 1.%d are in no known layout (%s)", ErrUnsupported, minor, strings.Join(reasons, "; "))
	case len(proven) > 1:
		return nil, fmt.Errorf("%w: run-time types fit both Go 1.%d and Go 1.%d", ErrUnsupported, proven[0].layout.minGo, proven[1].layout.minGo)
	}
	if l := proven[0].layout; minor < l.minGo || (l.maxGo != 0 && minor > l.maxGo) {
		return nil, fmt.Errorf("%w: made by Go 1.%d, but its run-time types are as in Go 1.%d", ErrUnsupported, minor, l.minGo)
	}
	return proven[0], nil
}
