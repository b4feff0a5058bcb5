// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// variant is one way to build testdata/subject.
type variant struct {
	toolchain string // "" for the one that runs the test
	arch      string
	mode      string // build mode: "exe" or "pie"
	external  bool   // linked by the C linker, with cgo
	extFlags  string // for the C linker
}

func (v variant) String() string {
	return strings.Trim(strings.Join([]string{v.toolchain, v.arch, v.mode, map[bool]string{true: "cgo"}[v.external], v.extFlags}, " "), " ")
}

// variants of the running toolchain.
func variants() []variant {
	var all []variant
	for _, arch := range []string{"amd64", "arm64"} {
		for _, mode := range []string{"exe", "pie"} {
			all = append(all, variant{arch: arch, mode: mode})
		}
	}
	if runtime.GOOS == "linux" {
		for _, mode := range []string{"exe", "pie"} {
			all = append(all, variant{arch: runtime.GOARCH, mode: mode, external: true})
		}
		all = append(all, variant{arch: runtime.GOARCH, mode: "pie", external: true, extFlags: "-Wl,-z,pack-relative-relocs"})
	}
	return all
}

// oldToolchains are those for which the layouts differ, and whatever else is in
// $GOBINARY_TOOLCHAINS, such as "go1.16.15 go1.19.13". The go command fetches
// them.
func oldToolchains(t *testing.T) []string {
	t.Helper()
	list := strings.Fields(os.Getenv("GOBINARY_TOOLCHAINS"))
	if len(list) == 0 {
		t.Skip("SKIPPED: GOBINARY_TOOLCHAINS is not set; with \"go1.16.15 go1.17.13 go1.18.10 go1.19.13 go1.20.14 go1.25.12\" every layout is built and looked at")
	}
	return list
}

// subject is a built testdata/subject, with and without symbols and DWARF. What
// the linker puts where is the same in both.
type subject struct {
	variant
	full, stripped string
}

var (
	subjectsMutex sync.Mutex
	subjectsDir   string
	subjects      = map[variant]*subject{}
)

func TestMain(m *testing.M) {
	code := m.Run()
	if subjectsDir != "" {
		_ = os.RemoveAll(subjectsDir)
	}
	os.Exit(code)
}

// buildSubject builds a variant once for all tests.
func buildSubject(t testing.TB, v variant) *subject {
	t.Helper()
	if v.external {
		if _, err := exec.LookPath("gcc"); err != nil {
			t.Skipf("SKIPPED: external linking needs a C compiler: %v", err)
		}
	}
	subjectsMutex.Lock()
	defer subjectsMutex.Unlock()
	if s, ok := subjects[v]; ok {
		return s
	}
	if subjectsDir == "" {
		dir, err := os.MkdirTemp("", "gobinary")
		require.NoError(t, err)
		require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "subject"))))
		// Not in testdata: it would be a module of its own there.
		require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/subject\n\ngo 1.16\n"), 0o600))
		subjectsDir = dir
	}
	name := filepath.Join(subjectsDir, fmt.Sprint("subject", len(subjects)))
	s := &subject{variant: v, full: name, stripped: name + "-stripped"}
	v.build(t, subjectsDir, s.full, "")
	if strip, err := exec.LookPath("strip"); err == nil && v.external {
		out, err := exec.Command(strip, "-s", "-o", s.stripped, s.full).CombinedOutput()
		require.NoError(t, err, "%s", out)
	} else {
		v.build(t, subjectsDir, s.stripped, "-s -w")
	}
	subjects[v] = s
	return s
}

func (v variant) build(t testing.TB, dir, output, flags string) {
	t.Helper()
	cgo := "0"
	if v.external {
		cgo, flags = "1", flags+" -linkmode=external"
	}
	if v.extFlags != "" {
		flags += " -extldflags=" + v.extFlags
	}
	build := exec.Command("go", "build", "-buildmode="+v.mode, "-ldflags="+flags, "-o", output, ".")
	build.Dir = dir
	// Not empty: that would let the settings of `go env -w` in, which an old toolchain may not know.
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+v.arch, "CGO_ENABLED="+cgo, "GOWORK=off", "GOFLAGS=-trimpath")
	if v.toolchain != "" {
		build.Env = append(build.Env, "GOTOOLCHAIN="+v.toolchain)
	}
	out, err := build.CombinedOutput()
	require.NoError(t, err, "build the subject, %v: %s", v, out)
}

// open opens one of the two files until the test ends.
func open(t testing.TB, file string) *Binary {
	t.Helper()
	f, err := os.Open(file)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	b, err := Open(f)
	require.NoError(t, err, file)
	return b
}

// truth is what the subject prints.
type truth struct {
	Types []struct {
		Name          string
		Addr, Pointer uint64
		Kind          reflect.Kind
		Size          uint64
		Fields        []Field
	}
	Itabs []struct {
		Addr                uint64
		Interface, Concrete string
	}
	Functions map[string]uint64
}

// run executes the file and returns what it knows about itself.
func run(t *testing.T, s *subject, file string) truth {
	t.Helper()
	if runtime.GOOS != "linux" || runtime.GOARCH != s.arch {
		t.Skipf("SKIPPED: a program for linux/%s does not run here", s.arch)
	}
	out, err := exec.Command(file).Output()
	require.NoError(t, err)
	var told truth
	require.NoError(t, json.Unmarshal(out, &told))
	return told
}

// readFile reads all of a file, to be changed.
func readFile(t testing.TB, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	return content
}

// readerAt is a file in memory.
type readerAt []byte

func (r readerAt) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 || offset >= int64(len(r)) {
		return 0, io.EOF
	}
	n := copy(p, r[offset:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
