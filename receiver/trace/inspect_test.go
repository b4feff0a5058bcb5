// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/gobinary"
)

// opened is the etcd of a build in a folder of $ETCD_BIN_DIR.
func opened(t *testing.T, build string) *gobinary.Binary {
	t.Helper()
	path := filepath.Join(os.Getenv("ETCD_BIN_DIR"), build, "etcd")
	file, err := os.Open(path)
	if os.Getenv("ETCD_BIN_DIR") == "" || err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("nothing is at %s, and CI must skip nothing", path)
		}
		t.Skipf("SKIPPED: etcd %s is not at ETCD_BIN_DIR: run `make test`, which builds it", build)
	}
	t.Cleanup(func() { _ = file.Close() })
	binary, err := gobinary.Open(file)
	require.NoError(t, err)
	return binary
}

func TestAllOfTheseBuildsCanBeTold(t *testing.T) {
	for build, refusals := range map[string]int{ // functions that etcd calls for a failed handshake
		"3.4":        2, // one for each logger
		"3.5-go1.19": 1,
		"3.5":        2, // one for clients, one for members
		"3.6":        2,
		"3.7":        2,
		"3.7-pie":    2,
	} {
		t.Run(build, func(t *testing.T) {
			x, err := inspect(opened(t, build), func(*operation) bool { return true })
			require.NoError(t, err)
			assert.Empty(t, x.lacks)
			found := map[uint64]bool{}
			for _, p := range x.probes {
				if p.Program == bpf.HandshakeFailed {
					found[p.Offset] = true
				}
			}
			assert.Len(t, found, refusals)
			b := &x.binary
			assert.Equal(t, build == "3.4", b.TcpKept == 0, "only 3.4 wraps no connection to keep it alive")
			assert.Equal(t, build == "3.4" || build == "3.5-go1.19", b.CertificateError == 0, "an error of its own since Go 1.20")
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
	f := &finder{file: file, x: &executable{probes: []bpf.Probe{{Program: bpf.UnaryServed}}}}
	f.handshakes()
	assert.Equal(t, []string{"TLS handshakes that failed: there is no function that etcd calls for them"}, f.x.lacks)
	assert.Len(t, f.x.probes, 1)
}
