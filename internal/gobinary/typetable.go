// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"sort"
	"strings"
)

// typeTable is where type descriptors lie and how they are encoded.
type typeTable struct {
	m          *image
	layout     layout
	start, end uint64
	links      []uint32 // typelinks: offsets from start, sorted by the name of the type
	itabs      list     // itablinks: addresses
}

// open fills the table as t.layout says, and looks whether the result makes
// sense. An error is the reason why it does not.
func (t *typeTable) open(d *moduledata) error {
	t.start, t.end = d.words[t.layout.types], d.words[t.layout.types+1]
	if t.start >= t.end || t.end-t.start > maxTypeBytes {
		return corrupt("types from %#x to %#x", t.start, t.end)
	}
	if sections, ok := d.slice(t.layout.typelinks-3, 1<<10); !ok || sections.len > 1 {
		return corrupt("%d text sections instead of one", sections.len)
	}
	links, ok := d.slice(t.layout.typelinks, maxTypelinks)
	if !ok || links.len == 0 {
		return corrupt("%d typelinks", links.len)
	}
	if t.itabs, ok = d.slice(t.layout.itablinks, maxItabs); !ok || t.itabs.len == 0 {
		return corrupt("%d itabs", t.itabs.len)
	}
	if err := t.readLinks(links); err != nil {
		return fmt.Errorf("read typelinks: %w", err)
	}
	return t.prove()
}

func (t *typeTable) readLinks(links list) error {
	if _, ok := t.m.segmentOf(links.addr, links.len*4); !ok {
		return corrupt("%d typelinks at %#x are not in the file", links.len, links.addr)
	}
	p := make([]byte, links.len*4)
	if err := t.m.read(p, links.addr); err != nil {
		return err
	}
	t.links = make([]uint32, links.len)
	for i := range t.links {
		t.links[i] = binary.LittleEndian.Uint32(p[i*4:])
	}
	return nil
}

// prove looks at a few types: some that should be sorted by name, some structs,
// and two itabs.
func (t *typeTable) prove() error {
	const samples = 16
	last := ""
	for i := range samples {
		d, err := t.link(i * (len(t.links) - 1) / (samples - 1))
		if err != nil {
			return err
		}
		if !d.plausible() || d.name < last {
			return corrupt("%v %.50q follows %.50q", d.kind, d.name, last)
		}
		last = d.name
	}
	if err := t.proveStructs(); err != nil {
		return err
	}
	for _, i := range []uint64{0, t.itabs.len - 1} {
		addr, err := t.m.word(t.itabs.addr + i*8)
		if err != nil {
			return err
		}
		if _, err := t.itab(addr); err != nil {
			return err
		}
	}
	return nil
}

// proveStructs decodes the first structs that the table has a pointer to.
func (t *typeTable) proveStructs() error {
	const enough, tries = 4, 512
	proven := 0
	for i := 0; i < min(len(t.links), tries) && proven < enough; i++ {
		pointer, err := t.link(i)
		if err != nil || pointer.kind != reflect.Pointer {
			continue
		}
		elem, err := t.elem(pointer)
		if err != nil {
			return err
		}
		d, err := t.descriptor(elem)
		if err != nil {
			return err
		}
		if d.kind != reflect.Struct {
			continue
		}
		fields, err := t.fields(d)
		if err != nil {
			return err
		}
		if len(fields) > 1 {
			proven++
		}
	}
	if proven == 0 {
		return corrupt("no struct to look at")
	}
	return nil
}

// link is the descriptor of the i-th typelink.
func (t *typeTable) link(i int) (descriptor, error) {
	return t.descriptor(t.start + uint64(t.links[i]))
}

// find returns the types called name that have no name of their own, so mostly
// pointers. The linker has sorted them by name for the use of package reflect.
//
// Source: Go cmd/link/internal/ld/typelink.go; reflect/type.go, typesByString.
func (t *typeTable) find(name string) ([]descriptor, error) {
	var failed error
	i := sort.Search(len(t.links), func(i int) bool {
		d, err := t.link(i)
		if err != nil {
			failed = err
		}
		return d.name >= name
	})
	var found []descriptor
	for ; failed == nil && i < len(t.links); i++ {
		d, err := t.link(i)
		if err != nil {
			return nil, err
		}
		if d.name != name {
			break
		}
		if len(found) == maxSameName {
			return nil, corrupt("more than %d types called %.50q", maxSameName, name)
		}
		found = append(found, d)
	}
	return found, failed
}

// plausible reports whether name and kind agree, for a type of the table.
func (d *descriptor) plausible() bool {
	prefix, ok := map[reflect.Kind]string{
		reflect.Pointer: "*", reflect.Slice: "[]", reflect.Array: "[", reflect.Map: "map[",
		reflect.Chan: "", reflect.Func: "func(", reflect.Struct: "struct {",
	}[d.kind]
	return ok && strings.HasPrefix(d.name, prefix)
}
