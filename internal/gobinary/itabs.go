// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"fmt"
	"reflect"
	"slices"
)

// Itab is a method table that the compiler made for one concrete type in one
// interface type. The first word of a non-empty interface value is its address.
//
// A pair that the compiler did not foresee gets its table at run time, at an
// address that no file tells. All have the descriptors of both types in front:
// interface at 0, concrete at 8.
//
// Source: Go internal/abi/iface.go, ITab.
type Itab struct {
	Addr                        uint64 // as linked
	Interface, Concrete         string // names as in Type.Name
	InterfaceType, ConcreteType uint64 // addresses of the descriptors
}

// Itabs returns the itabs of the interface types called interfaceName, which has
// the name of its package, not the path: "etcdserverpb.isRequestOp_Request". They come in the order of their addresses.
//
// No itab at all is no error: the program may have no such interface, or make
// all of its tables at run time. Safe for concurrent use.
func (b *Binary) Itabs(interfaceName string) ([]Itab, error) {
	found, err := b.types.itabsOf(interfaceName)
	if err != nil {
		return nil, fmt.Errorf("find itabs of %s: %w", interfaceName, err)
	}
	return found, nil
}

func (t *typeTable) itabsOf(interfaceName string) ([]Itab, error) {
	var found []Itab
	matches := map[uint64]bool{} // by address of an interface type: most have several itabs
	addrs, err := t.m.words(t.itabs.addr, t.itabs.len)
	if err != nil {
		return nil, err
	}
	slices.Sort(addrs) // for the window
	itabs := newWindow(t.m)
	for _, addr := range addrs {
		inter, err := itabs.word(addr)
		if err != nil {
			return nil, err
		}
		match, seen := matches[inter]
		if !seen {
			d, err := t.descriptor(inter)
			if err != nil {
				return nil, err
			}
			match = d.name == interfaceName
			matches[inter] = match
		}
		if !match {
			continue
		}
		itab, err := t.itab(addr)
		if err != nil {
			return nil, err
		}
		found = append(found, itab)
	}
	return found, nil
}

// itab reads the itab at addr and the names of both types.
func (t *typeTable) itab(addr uint64) (Itab, error) {
	types, err := t.m.words(addr, 2)
	if err != nil {
		return Itab{}, err
	}
	inter, err := t.descriptor(types[0])
	if err != nil {
		return Itab{}, err
	}
	if inter.kind != reflect.Interface {
		return Itab{}, corrupt("itab at %#x is for %.50q, which is no interface", addr, inter.name)
	}
	concrete, err := t.descriptor(types[1])
	if err != nil {
		return Itab{}, err
	}
	return Itab{
		Addr:      addr,
		Interface: inter.name, InterfaceType: inter.addr,
		Concrete: concrete.name, ConcreteType: concrete.addr,
	}, nil
}
