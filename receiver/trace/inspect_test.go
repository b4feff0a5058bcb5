// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/gobinary"
)

func everyOperation(*operation) bool { return true }

// lacking is what inspect names, without the reasons.
func lacking(lacks []string) []string {
	var names []string
	for _, l := range lacks {
		name, _, _ := strings.Cut(l, ": ")
		names = append(names, name)
	}
	return names
}

// Also of those that this machine cannot run.
func TestEveryBuildOfEtcdHasAllThatTheProbesNeed(t *testing.T) {
	lacks := map[string][]string{
		"3.5.0-go1.16":  {"user.name"},
		"changed-names": {"client.address", "watch_create", "watch_close", "user.name"},
	}
	files, err := filepath.Glob(filepath.Join(os.Getenv("ETCD_BIN_DIR"), "*", "etcd"))
	require.NoError(t, err)
	if os.Getenv("ETCD_BIN_DIR") == "" || len(files) == 0 {
		t.Skip("SKIPPED: ETCD_BIN_DIR has no etcd: run `make test`, which builds some, or `make test-compat`, which builds all")
	}
	for _, path := range files {
		build := filepath.Base(filepath.Dir(path))
		t.Run(build, func(t *testing.T) {
			x, err := inspectFile(path)
			if build == "changed-signature" {
				require.ErrorContains(t, err, "this version of etcd is unknown")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, lacks[build], lacking(x.lacks), x.lacks)
		})
	}
}

func inspectFile(path string) (*executable, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	binary, err := gobinary.Open(file)
	if err != nil {
		return nil, err
	}
	return inspect(binary, everyOperation)
}

// A field that is there under its name and is another kind of thing is not read as what
// it was.
func TestAFieldOfAnotherKindIsNotTold(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example\n\ngo 1.25\n",
		"etcdserverpb/rpc.go": `package etcdserverpb

type PutRequest struct {
	Key   *string
	Value []byte
	Lease *int64
}

type PutResponse struct{ Header *int }
`,
		"main.go": `package main

import (
	"fmt"

	"example/etcdserverpb"
)

func main() { fmt.Println(&etcdserverpb.PutRequest{}, &etcdserverpb.PutResponse{}) }
`,
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", "program", ".")
	build.Dir = dir
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	file, err := os.Open(filepath.Join(dir, "program"))
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	binary, err := gobinary.Open(file)
	require.NoError(t, err)

	put := &unary[slices.IndexFunc(unary, func(o operation) bool { return o.name == "put" })]
	request, err := binary.Type(put.request)
	require.NoError(t, err)
	f := &finder{file: binary, x: &executable{}}
	is := f.operation(put, 1, request, true)
	assert.Equal(t, uint16(bpf.None), is.Key)
	assert.Equal(t, uint16(bpf.None), is.Number)
	assert.Equal(t, uint16(8), is.Value)
	assert.Equal(t, []string{"Key of put", "Lease of put"}, lacking(f.x.lacks), f.x.lacks)
}

// What a collector that starts does first, and has a goal: test/throughput, Startup.
func BenchmarkInspect(b *testing.B) {
	files, err := filepath.Glob(filepath.Join(os.Getenv("ETCD_BIN_DIR"), "*", "etcd"))
	require.NoError(b, err)
	for _, path := range files {
		b.Run(filepath.Base(filepath.Dir(path)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := inspectFile(path)
				require.NoError(b, err)
			}
		})
	}
}
