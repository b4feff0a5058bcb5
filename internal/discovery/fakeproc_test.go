// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fakeProc is a proc file system made of ordinary files.
type fakeProc struct {
	t    *testing.T
	root string
}

// fakeProcess is what one process directory holds. A nil environ stands for one
// that may not be read: permissions would not stop a test that runs as root.
type fakeProcess struct {
	exe     string // target of the link; "" = unreadable
	cwd     string // target of the link; "" = unreadable
	argv    []string
	environ []string
	files   map[string]string // below its root, by absolute path
	links   map[string]string // symbolic links below its root
}

func newFakeProc(t *testing.T) fakeProc {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED, not tested on windows: a fake proc tree needs symbolic links")
	}
	return fakeProc{t: t, root: t.TempDir()}
}

func (f fakeProc) add(pid int, p fakeProcess) {
	f.t.Helper()
	dir := filepath.Join(f.root, strconv.Itoa(pid))
	processRoot := filepath.Join(dir, "root")
	require.NoError(f.t, os.MkdirAll(processRoot, 0o755))
	for name, target := range map[string]string{"exe": p.exe, "cwd": p.cwd} {
		if target != "" {
			require.NoError(f.t, os.Symlink(target, filepath.Join(dir, name)))
		}
	}
	f.write(filepath.Join(dir, "cmdline"), terminated(p.argv))
	if p.environ == nil {
		require.NoError(f.t, os.Mkdir(filepath.Join(dir, "environ"), 0o755))
	} else {
		f.write(filepath.Join(dir, "environ"), terminated(p.environ))
	}
	for name, content := range p.files {
		f.write(filepath.Join(processRoot, name), content)
	}
	for name, target := range p.links {
		require.NoError(f.t, os.MkdirAll(filepath.Dir(filepath.Join(processRoot, name)), 0o755))
		require.NoError(f.t, os.Symlink(target, filepath.Join(processRoot, name)))
	}
}

func (f fakeProc) write(name, content string) {
	f.t.Helper()
	require.NoError(f.t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(f.t, os.WriteFile(name, []byte(content), 0o600))
}

// scan returns what a Scanner finds in the tree.
func (f fakeProc) scan() []Process {
	f.t.Helper()
	found, err := Scanner{Root: f.root}.Processes()
	require.NoError(f.t, err)
	return found
}

// terminated joins items as the kernel does: a NUL byte after each.
func terminated(items []string) string {
	var b strings.Builder
	for _, item := range items {
		b.WriteString(item + "\x00")
	}
	return b.String()
}
