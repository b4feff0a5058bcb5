// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// defaultRoot is where Linux mounts the proc file system.
const defaultRoot = "/proc"

// maxNamedFileBytes limits what ReadFile returns. A bundle of all public
// authorities has about 220 KiB; one MiB is what a Kubernetes Secret can hold.
const maxNamedFileBytes = 1 << 20

// Scanner looks for etcd in a proc file system. The zero value is ready and
// looks at this host. Safe for concurrent use.
type Scanner struct {
	Root string // "/proc" if empty; for tests: only a /proc of our own has ids that the kernel takes from us

	// Names are the base names of executables that are etcd; "etcd" if empty. For
	// builds that were renamed.
	Names []string

	// Paths are executables that have etcd in them, as the link /proc/PID/exe
	// names them. Of their processes only the PID is known: their settings are not
	// those of etcd.
	Paths []string
}

// Processes returns the etcd servers that run now, by ascending PID.
//
// A process that ends meanwhile is not an error, nor is one whose settings are
// partly unreadable: see Process.Unread. Without a proc file system, as on
// macOS and Windows, there is nothing to find: nil, nil. The only error is that
// the list of processes itself cannot be read.
func (s Scanner) Processes() ([]Process, error) {
	entries, err := os.ReadDir(s.root())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var found []Process
	for _, pid := range pids(entries) {
		if p, ok := s.Process(pid); ok {
			found = append(found, p)
		}
	}
	return found, nil
}

// Process looks at one process only. ok is false if it is not an etcd server, or
// has ended.
func (s Scanner) Process(pid int) (_ Process, ok bool) {
	p, ok := s.dir(pid).inspect(s)
	p.PID = pid
	return p, ok
}

// ReadFile reads a file that a process names, such as Process.TrustedCAFile, as
// that process sees it: below its own root, where absolute symbolic links start
// again. name is absolute.
//
// It returns errors of the os package (fs.ErrNotExist also when the process has
// ended), and an error for anything but a regular file of at most one MiB.
func (s Scanner) ReadFile(pid int, name string) ([]byte, error) {
	return s.dir(pid).readFile(name, maxNamedFileBytes)
}

func (s Scanner) root() string {
	if s.Root == "" {
		return defaultRoot
	}
	return s.Root
}

func (s Scanner) names() []string {
	if len(s.Names) == 0 {
		return []string{serverName}
	}
	return s.Names
}

func (s Scanner) dir(pid int) processDir {
	return processDir(filepath.Join(s.root(), strconv.Itoa(pid)))
}

// pids picks the directories of processes, in ascending order; the file system
// lists them as text, between files of its own.
func pids(entries []fs.DirEntry) []int {
	var found []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid > 0 {
			found = append(found, pid)
		}
	}
	slices.Sort(found)
	return found
}
