// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"encoding/binary"
	"reflect"
	"strings"
	"unicode/utf8"
)

// descriptor is the part that all type descriptors have in common.
//
// Source: Go internal/abi/type.go, Type. The same from Go 1.16 to 1.26.
type descriptor struct {
	addr    uint64
	size    uint64
	align   uint8
	kind    reflect.Kind
	name    string
	pointer uint64 // address of the descriptor of the pointer type, 0 if there is none
}

const (
	descriptorBytes = 48

	flagExtraStar = 1 << 1 // the name in the file has a star in front, for the pointer type

	maskKind = 1<<5 - 1 // the rest of the byte are flags
)

// descriptor reads the one at addr.
func (t *typeTable) descriptor(addr uint64) (descriptor, error) {
	if addr < t.start || addr >= t.end {
		return descriptor{}, corrupt("type at %#x is not between %#x and %#x", addr, t.start, t.end)
	}
	var p [descriptorBytes]byte
	if err := t.m.read(p[:], addr); err != nil {
		return descriptor{}, err
	}
	d := descriptor{
		addr:  addr,
		size:  binary.LittleEndian.Uint64(p[0:]),
		align: p[22],
		kind:  reflect.Kind(p[23] & maskKind),
	}
	if d.kind == reflect.Invalid || d.kind > reflect.UnsafePointer {
		return descriptor{}, corrupt("type at %#x is of kind %d", addr, d.kind)
	}
	name, err := t.name(t.start + uint64(binary.LittleEndian.Uint32(p[40:])))
	if err != nil {
		return descriptor{}, err
	}
	if d.name = name; p[20]&flagExtraStar != 0 {
		if d.name, _ = strings.CutPrefix(name, "*"); d.name == name {
			return descriptor{}, corrupt("type at %#x is called %.50q, without the star it should have", addr, name)
		}
	}
	if offset := binary.LittleEndian.Uint32(p[44:]); offset != 0 {
		d.pointer = t.start + uint64(offset)
	}
	return d, nil
}

// name reads the name of a type or a field at addr.
//
// Source: Go internal/abi/type.go, Name; up to Go 1.16 reflect/type.go, name.
func (t *typeTable) name(addr uint64) (string, error) {
	// One read is enough for most names.
	var head [64]byte
	n, err := t.m.readUpTo(head[:], addr)
	if err != nil {
		return "", err
	}
	length, at := t.nameLength(head[:n])
	if at == 0 || length == 0 || length > maxNameBytes {
		return "", corrupt("name of %d bytes at %#x", length, addr)
	}
	p := head[at:n]
	if length > len(p) {
		p = make([]byte, length)
		if err := t.m.read(p, addr+uint64(at)); err != nil {
			return "", err
		}
	}
	if p = p[:length]; !utf8.Valid(p) || p[0] < ' ' {
		return "", corrupt("name at %#x is no text", addr)
	}
	return string(p), nil
}

// nameLength decodes the length of a name and says where the name begins; 0 if
// there is none. A byte of flags is in front.
func (t *typeTable) nameLength(p []byte) (length, at int) {
	if t.layout.longNames {
		if len(p) < 3 {
			return 0, 0
		}
		return int(binary.BigEndian.Uint16(p[1:])), 3
	}
	if len(p) < 2 {
		return 0, 0
	}
	n, size := binary.Uvarint(p[1:])
	if size <= 0 || n > maxNameBytes {
		return 0, 0
	}
	return int(n), 1 + size
}

// elem is the address of the element type of a pointer, slice, array or channel.
// It is the first word after the common part in all of them.
//
// Source: Go internal/abi/type.go, PtrType, SliceType, ArrayType, ChanType.
func (t *typeTable) elem(d descriptor) (uint64, error) {
	return t.m.word(d.addr + descriptorBytes)
}

// fields reads the fields of a struct and checks that they fill it the way the
// compiler fills structs. That tells a wrong layout from the right one.
//
// Source: Go internal/abi/type.go, StructType and StructField; up to Go 1.18
// reflect/type.go, structField, where an offset shares its word with a flag.
func (t *typeTable) fields(d descriptor) ([]Field, error) {
	const fieldWords = 3
	head, err := t.m.words(d.addr+descriptorBytes+8, 2) // after the path of the package
	if err != nil {
		return nil, err
	}
	if head[1] > maxFields {
		return nil, corrupt("%.50q has %d fields", d.name, head[1])
	}
	words, err := t.m.words(head[0], head[1]*fieldWords)
	if err != nil {
		return nil, err
	}
	fields := make([]Field, 0, head[1])
	end := uint64(0)
	for ; len(words) > 0; words = words[fieldWords:] {
		f := Field{Type: words[1], Offset: words[2]}
		if t.layout.shiftedFields {
			f.Offset >>= 1
		}
		if f.Name, err = t.name(words[0]); err != nil {
			return nil, err
		}
		of, err := t.descriptor(f.Type)
		if err != nil {
			return nil, err
		}
		if of.align == 0 || f.Offset%uint64(of.align) != 0 || f.Offset < end || f.Offset > d.size || of.size > d.size-f.Offset {
			return nil, corrupt("field %.50q of %.50q, of %d bytes, at %d of %d bytes", f.Name, d.name, of.size, f.Offset, d.size)
		}
		end = f.Offset + of.size
		fields = append(fields, f)
	}
	return fields, nil
}
