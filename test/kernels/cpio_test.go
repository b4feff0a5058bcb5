// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package kernels

import (
	"fmt"
	"io"
	"path"
)

// archive writes an initramfs: cpio in the format newc.
// Source: Documentation/driver-api/early-userspace/buffer-format.rst.
type archive struct {
	to   io.Writer
	seen map[string]bool // folders
	err  error
}

const (
	isFile   = 0o100755
	isFolder = 0o040755
)

// file adds a file, and the folders above it.
func (a *archive) file(name string, content []byte) {
	a.folder(path.Dir(name))
	a.entry(name, isFile, content)
}

func (a *archive) folder(name string) {
	if name == "." || a.seen[name] {
		return
	}
	a.folder(path.Dir(name))
	a.seen[name] = true
	a.entry(name, isFolder, nil)
}

// end closes the archive.
func (a *archive) end() error {
	a.entry("TRAILER!!!", 0, nil)
	return a.err
}

func (a *archive) entry(name string, mode int, content []byte) {
	links, inode := 1, 0 // inode 0 with one link: no hard link to anything
	head := fmt.Sprintf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		inode, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name)+1, 0, name)
	a.padded([]byte(head))
	a.padded(content)
}

// padded writes up to the next multiple of four.
func (a *archive) padded(b []byte) {
	if a.err == nil {
		_, a.err = a.to.Write(append(b[:len(b):len(b)], make([]byte, -len(b)&3)...))
	}
}
