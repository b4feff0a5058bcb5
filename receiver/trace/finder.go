// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/gobinary"
)

// finder looks things up in one executable.
type finder struct {
	file *gobinary.Binary
	x    *executable
	old  bool // etcd 3.4: has its own probes

	functions []gobinary.Function // those of lookedFor, once one was asked for
}

// lack notes what will be missing.
func (f *finder) lack(what string, err error) {
	f.x.lacks = append(f.x.lacks, fmt.Sprintf("%s: %v", what, err))
}

// probe puts a program at the stack check of a function, and says where that is. A
// program that has several probes knows them by that.
func (f *finder) probe(program bpf.Program, function gobinary.Function) (addr uint64, err error) {
	at, addr, err := f.placeIn(program, function)
	if err == nil {
		f.x.probes = append(f.x.probes, at)
	}
	return addr, err
}

func (f *finder) probeFunction(program bpf.Program, suffix string) (addr uint64, err error) {
	function, err := f.function(suffix)
	if err != nil {
		return 0, err
	}
	return f.probe(program, function)
}

func (f *finder) probeAt(program bpf.Program, addr uint64) error {
	p, err := f.place(program, addr)
	if err == nil {
		f.x.probes = append(f.x.probes, p)
	}
	return err
}

// placeIn is the probe of a program at the stack check of a function, and where that is.
func (f *finder) placeIn(program bpf.Program, function gobinary.Function) (at bpf.Probe, addr uint64, err error) {
	if addr, err = f.file.StackCheck(function); err != nil {
		return at, 0, err
	}
	at, err = f.place(program, addr)
	return at, addr, err
}

func (f *finder) place(program bpf.Program, addr uint64) (bpf.Probe, error) {
	offset, err := f.file.FileOffset(addr)
	return bpf.Probe{Program: program, Offset: offset}, err
}

// field is the offset of a field within fields of structs: "State.PeerCertificates".
func (f *finder) field(t *gobinary.Type, path string) (uint16, error) {
	var offset uint64
	for name := range strings.SplitSeq(path, ".") {
		field, ok := t.Field(name)
		if !ok {
			return bpf.None, fmt.Errorf("%s has no field %s", t.Name, name)
		}
		offset += field.Offset
		next, err := f.file.TypeAt(field.Type)
		if err != nil {
			return bpf.None, err
		}
		t = next
	}
	if offset >= bpf.None {
		return bpf.None, fmt.Errorf("%s is %d bytes away", path, offset)
	}
	return uint16(offset), nil
}

// offset is that of a field of a struct by name.
func (f *finder) offset(name, path string) (uint16, error) {
	first, _, _ := strings.Cut(path, ".")
	t, err := f.file.Type(name, first)
	if err != nil {
		return bpf.None, err
	}
	return f.field(t, path)
}

// set is offset into a place, and notes the first error.
func (f *finder) set(err *error, to *uint16, name, path string) {
	if *err == nil {
		*to, *err = f.offset(name, path)
	}
}

// setKind is set for a field that must be of one of these kinds: another one means
// something else under the same name.
func (f *finder) setKind(err *error, to *uint16, name, path string, kinds ...reflect.Kind) {
	if t := f.typeOf(err, name); t != nil {
		*to, _, *err = f.fieldOf(t, path, kinds)
	}
}

// fieldOf is the offset and the size of a field, if it is of one of these kinds.
func (f *finder) fieldOf(t *gobinary.Type, path string, kinds []reflect.Kind) (offset uint16, size uint8, err error) {
	if offset, err = f.field(t, path); err != nil {
		return 0, 0, err
	}
	field, _ := t.Field(path)
	of, err := f.file.TypeAt(field.Type)
	if err == nil && !slices.Contains(kinds, of.Kind) {
		err = fmt.Errorf("%s of %s is a %s", path, t.Name, of.Kind)
	}
	if err != nil {
		return 0, 0, err
	}
	return offset, uint8(of.Size), nil
}

// typeOf is a type by name; the first error is noted.
func (f *finder) typeOf(err *error, name string) (t *gobinary.Type) {
	if *err == nil {
		t, *err = f.file.Type(name)
	}
	return t
}

// part is the offset and the size of a field of a message of an operation, if it is of
// one of these kinds: another kind means something else under the same name. What is
// not so is not told, and named.
func (f *finder) part(o *operation, t *gobinary.Type, path string, kinds ...reflect.Kind) (offset uint16, size uint8) {
	if t == nil || path == "" {
		return bpf.None, 0
	}
	offset, size, err := f.fieldOf(t, path, kinds)
	if err != nil {
		f.lack(path+" of "+o.name, err)
		return bpf.None, 0
	}
	return offset, size
}

// The kinds of fields that are read as text, as a number, as one of eight bytes, and as
// how many.
var (
	words   = []reflect.Kind{reflect.Int64, reflect.Uint64}
	texts   = []reflect.Kind{reflect.Slice, reflect.String}
	numbers = []reflect.Kind{reflect.Bool, reflect.Int32, reflect.Int64, reflect.Uint32, reflect.Uint64}
	counts  = append([]reflect.Kind{reflect.Slice}, numbers...)
)

// goMinor is 19 of "go1.19.9", 0 if there is none.
func goMinor(version string) int {
	_, rest, _ := strings.Cut(version, "go1.")
	digits := strings.IndexFunc(rest+".", func(r rune) bool { return r < '0' || r > '9' })
	minor, _ := strconv.Atoi(rest[:digits])
	return minor
}
