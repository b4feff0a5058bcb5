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
	refusals := map[string]int{ // functions that etcd calls for a failed handshake
		"3.4":        2, // one for each logger
		"3.5-go1.19": 1,
		"3.5":        2, // one for clients, one for members
		"3.6":        2,
		"3.7":        2,
		"3.7-pie":    2,
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
			if refusals[build] > 0 {
				judgeHandshakes(t, build, x, refusals[build])
			}
		})
	}
}

// This test is a program with TLS, and no etcd.
func TestWhatABuildDoesNotHaveIsNamedAndTheRestIsTold(t *testing.T) {
	self, err := os.Open("/proc/self/exe")
	require.NoError(t, err)
	defer func() { require.NoError(t, self.Close()) }()
	file, err := gobinary.Open(self)
	require.NoError(t, err)
	f := &finder{file: file, x: &executable{probes: []bpf.Probe{{Program: bpf.RequestMet}}}}
	f.handshakes()
	assert.Equal(t, []string{"TLS handshakes that failed: there is no function that etcd calls for them"}, f.x.lacks)
	assert.Len(t, f.x.probes, 1)
}

func judgeHandshakes(t *testing.T, build string, x *executable, want int) {
	t.Helper()
	found := map[uint64]bool{}
	for _, p := range x.probes {
		if p.Program == bpf.HandshakeFailed {
			found[p.Offset] = true
		}
	}
	assert.Len(t, found, want)
	b := &x.binary
	assert.Equal(t, build == "3.4", b.TcpKept == 0, "only 3.4 wraps no connection to keep it alive")
	assert.Equal(t, build == "3.4" || build == "3.5-go1.19", b.CertificateError == 0, "an error of its own since Go 1.20")
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
	assert.Equal(t, uint16(8+lengthAt), is.Value)
	assert.Equal(t, []string{"Key of put", "Lease of put"}, lacking(f.x.lacks), f.x.lacks)
}

// What a collector that starts does first, and has a goal: test/throughput, Startup.
func BenchmarkInspect(b *testing.B) {
	files, err := filepath.Glob(filepath.Join(os.Getenv("ETCD_BIN_DIR"), "*", "etcd"))
	require.NoError(b, err)
	for _, path := range files {
		build := filepath.Base(filepath.Dir(path))
		if strings.HasPrefix(build, "changed-") {
			continue // nobody runs it
		}
		b.Run(build, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := inspectFile(path)
				require.NoError(b, err)
			}
		})
	}
}
