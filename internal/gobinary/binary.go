// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"fmt"
	"io"
)

// Binary is an executable made by the Go toolchain. It holds 2 MB, 4 MB at most, of
// what it was asked for, and 2 MB more if it is position independent. The rest is
// read on demand.
type Binary struct {
	image  *image
	module *moduledata
	types  *typeTable
	build  Build
}

// Open inspects the executable in r. It reads with ReadAt only, in production
// from /proc/PID/exe, and it and the methods of Binary use r until the Binary
// is no longer used; closing r is left to the caller.
//
// It returns ErrNotELF, ErrNotGo, ErrUnsupported or ErrCorrupt, or the error of
// r. Binary is safe for concurrent use if r is.
func Open(r io.ReaderAt) (*Binary, error) {
	m, err := readImage(r)
	if err != nil {
		return nil, err
	}
	b := &Binary{image: m}
	if b.module, err = m.findModule(); err != nil {
		return nil, err
	}
	if b.build, err = m.readBuild(); err != nil {
		return nil, fmt.Errorf("read build info: %w", err)
	}
	minor, err := goMinor(b.build.GoVersion)
	if err != nil {
		return nil, err
	}
	if b.types, err = m.proveLayout(b.module, minor); err != nil {
		return nil, err
	}
	return b, nil
}

// Build returns how the executable was made. The map in it must not be changed.
func (b *Binary) Build() Build { return b.build }

// FileOffset returns the position in the file of the instruction at addr, which
// is a virtual address as linked. A uprobe is attached to such a position.
//
// It returns ErrNotFound if addr is in no executable segment.
func (b *Binary) FileOffset(addr uint64) (uint64, error) {
	for _, s := range b.image.segments {
		if executable(s) && s.contains(addr, 1) {
			return s.offset + (addr - s.addr), nil
		}
	}
	return 0, fmt.Errorf("file offset of %#x: no executable segment: %w", addr, ErrNotFound)
}
