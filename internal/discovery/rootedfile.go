// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"syscall"
)

// maxPathBytes and maxLinks are the kernel's own limits (PATH_MAX, MAXSYMLINKS).
// They also bound the time that a hostile name can cost us.
const (
	maxPathBytes = 4096
	maxLinks     = 40
)

// readFile reads a regular file below the root of the process. name is absolute.
//
// Opening /proc/PID/root/NAME would not do: an absolute symbolic link inside a
// container would lead out of it, to a file of the host. os.Root refuses such a
// link, so it is followed by hand before.
func (d processDir) readFile(name string, limit int64) ([]byte, error) {
	if !path.IsAbs(name) || len(name) > maxPathBytes {
		return nil, fmt.Errorf("not an absolute path of at most %d bytes", maxPathBytes)
	}
	root, err := os.OpenRoot(d.file("root"))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	name, err = resolveLinks(root, name)
	if err != nil {
		return nil, err
	}
	// Without O_NONBLOCK the open of a named pipe waits for a writer.
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open %s: not a regular file", name)
	}
	return readAllLimited(file, limit)
}

// resolveLinks returns name with its symbolic links followed as a process with
// that root would, relative to root. A race with a writer inside is harmless:
// os.Root checks the result again when it opens it.
func resolveLinks(root *os.Root, name string) (string, error) {
	resolved := "."
	pending := strings.Split(name, "/")
	for links := 0; len(pending) > 0; {
		part := pending[0]
		pending = pending[1:]
		next := path.Join(resolved, part)
		if part == ".." {
			next = path.Dir(resolved) // of "." is ".": nothing lies above a root
		}
		target, isLink := readLink(root, next)
		if !isLink {
			resolved = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("open %s: %w", name, errTooManyLinks)
		}
		if path.IsAbs(target) {
			resolved = "."
		}
		pending = append(strings.Split(target, "/"), pending...)
	}
	return resolved, nil
}

var errTooManyLinks = errors.New("too many levels of symbolic links")

// readLink reports whether name is a symbolic link, and its target. An absent
// name is none: opening it says so better.
func readLink(root *os.Root, name string) (target string, ok bool) {
	if name == "." {
		return "", false
	}
	target, err := root.Readlink(name)
	return target, err == nil
}
