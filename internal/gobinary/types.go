// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// Type is a type that the program knows at run time.
type Type struct {
	Name string // with the name of its package, not the path: "peer.Peer"
	Addr uint64 // of its descriptor, as linked; an interface word of a value of this type
	Kind reflect.Kind
	Size uint64 // of a value, in bytes

	// Pointer is the address of the descriptor of the pointer to this type: an
	// interface word of a pointer. 0 if the program has no such type.
	Pointer uint64

	Elem   uint64  // descriptor of the element type of a pointer, slice, array or channel; else 0
	Fields []Field // of a struct, in order
}

// Field is a field of a struct.
type Field struct {
	Name   string // of the type, without package, if the field is embedded
	Offset uint64 // from the start of the struct, in bytes
	Type   uint64 // address of the descriptor, for Binary.TypeAt
}

// Field returns the field called name. ok is false if there is none.
func (t *Type) Field(name string) (_ Field, ok bool) {
	i := slices.IndexFunc(t.Fields, func(f Field) bool { return f.Name == name })
	if i < 0 {
		return Field{}, false
	}
	return t.Fields[i], true
}

// Type returns the type called name, which has the name of its package, not the
// path: "etcdserverpb.PutRequest".
//
// So names collide; a struct that does not have all of the fields is passed
// over. It returns ErrNotFound if no type is left, or its pointer type is
// nowhere in the program, and ErrAmbiguous if several are left. Safe for
// concurrent use.
func (b *Binary) Type(name string, fields ...string) (*Type, error) {
	pointers, err := b.types.find("*" + name)
	if err != nil {
		return nil, fmt.Errorf("find type %s: %w", name, err)
	}
	var found *Type
	for _, pointer := range pointers {
		t, err := b.pointed(pointer)
		switch {
		case errors.Is(err, ErrNotFound) || (err == nil && !t.has(fields)):
		case err != nil:
			return nil, fmt.Errorf("find type %s: %w", name, err)
		case found != nil:
			return nil, fmt.Errorf("find type %s with fields %q: %w: at %#x and %#x", name, fields, ErrAmbiguous, found.Addr, t.Addr)
		default:
			found = t
		}
	}
	if found == nil {
		return nil, fmt.Errorf("find type %s with fields %q among %d of that name: %w", name, fields, len(pointers), ErrNotFound)
	}
	return found, nil
}

// pointed reads the type that pointer points to.
func (b *Binary) pointed(pointer descriptor) (*Type, error) {
	if pointer.kind != reflect.Pointer {
		return nil, ErrNotFound
	}
	elem, err := b.types.elem(pointer)
	if err != nil {
		return nil, err
	}
	t, err := b.types.describe(elem)
	if err != nil {
		return nil, err
	}
	if "*"+t.Name != pointer.name {
		return nil, corrupt("type %.50q points to %.50q", pointer.name, t.Name)
	}
	t.Pointer = pointer.addr // the link back is left out for some types
	return t, nil
}

// has reports whether t has all the fields.
func (t *Type) has(fields []string) bool {
	return !slices.ContainsFunc(fields, func(name string) bool {
		_, ok := t.Field(name)
		return !ok
	})
}

// TypeAt returns the type with the descriptor at addr, which is an Elem or a
// Field.Type. Safe for concurrent use.
func (b *Binary) TypeAt(addr uint64) (*Type, error) {
	t, err := b.types.describe(addr)
	if err != nil {
		return nil, fmt.Errorf("read type at %#x: %w", addr, err)
	}
	return t, nil
}

// describe reads the type at addr with all that depends on its kind.
func (t *typeTable) describe(addr uint64) (*Type, error) {
	d, err := t.descriptor(addr)
	if err != nil {
		return nil, err
	}
	described := &Type{Name: d.name, Addr: d.addr, Kind: d.kind, Size: d.size, Pointer: d.pointer}
	switch d.kind {
	case reflect.Struct:
		described.Fields, err = t.fields(d)
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Chan:
		described.Elem, err = t.elem(d)
	}
	if err != nil {
		return nil, err
	}
	return described, nil
}
