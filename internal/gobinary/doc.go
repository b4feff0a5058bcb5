// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package gobinary reads from a Go executable, stripped or not, what a uprobe
// needs to know: where functions begin and end, where their stack check is and
// what they call, where fields of structs lie, and which addresses stand for
// types in interface values.
//
// Open looks at a file once. It finds the function table (pclntab.go), then the
// moduledata that points at it (moduledata.go), then the layout of run-time
// types under which everything it looks at makes sense (layout.go). Nothing is
// taken from sections, symbols or DWARF, which may be stripped, and no tables of
// offsets are needed: stack walks, reflection and interfaces keep the rest in
// every Go program. Each question to the Binary then reads the few places that
// it is about. Together they take about 10 ms and 3 MB for an etcd, and 15 ms and
// 7 MB if it is position independent.
//
// # Addresses
//
// All addresses are virtual addresses as linked. In a process, those of a
// position independent executable (Build.PIE) are higher by its load address,
// the same for all of them: /proc/PID/maps says where the executable's bytes at
// file offset x are, and FileOffset at which x an address is.
//
// # What is read
//
//	             Go 1.16  1.17 to 1.19  1.20 to 1.25  1.26
//	functions    yes      yes           yes           yes
//	types        yes      yes           yes           yes
//	stack check  small    yes           yes           yes
//
// on amd64 and arm64, position independent or not, linked by Go or by a C
// linker, with or without packed relocations, stripped in any way. "small" are
// frames of less than 4 KiB. A later version is read as long as its types prove
// to be like those of 1.26, and refused when they do not.
//
// Not read: Go 1.15 and older, other architectures, plugins and shared
// libraries that are loaded at run time, text that was split into several
// sections, what garble and similar programs leave.
//
// # Foreign files
//
// The file belongs to somebody else, who may run as another user than we do. It
// is read with limits (limit.go), a sum is checked for overflow before it is
// used, and what contradicts itself is ErrCorrupt. A file can make an answer
// wrong, about itself; it cannot make us crash, loop or use much memory.
package gobinary
