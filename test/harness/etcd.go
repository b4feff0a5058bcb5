// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package harness runs the receiver, inside the test's own process, against real
// etcd clusters, and keeps what it emits.
package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
)

// Versions are the etcd minors that are supported. What depends on the server
// is tested on each.
var Versions = []string{"3.4", "3.5", "3.6", "3.7"}

// EachVersion runs a test on every etcd minor.
func EachVersion(t *testing.T, test func(t *testing.T, version string)) {
	for _, version := range Versions {
		t.Run(version, func(t *testing.T) { test(t, version) })
	}
}

// Binary is the etcd server of a minor; the test is skipped where it is missing.
// In CI (CI is set) nothing may be missing.
func Binary(t *testing.T, version string) string {
	t.Helper()
	dir := os.Getenv("ETCD_BIN_DIR")
	path := filepath.Join(dir, version, "etcd")
	if _, err := os.Stat(path); dir == "" || err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("etcd %s is missing at %q, and CI must skip nothing", version, path)
		}
		t.Skipf("etcd %s is not at ETCD_BIN_DIR/%s/etcd (%q): run `make test`, which builds it", version, version, path)
	}
	return path
}

// Start starts a cluster that ends with the test. Its data is not synced to disk:
// these tests kill processes, not machines.
func Start(t *testing.T, version string, cfg localcluster.Config) *localcluster.Cluster {
	t.Helper()
	cfg.Binary = Binary(t, version)
	if version != "3.4" { // 3.4.23 does not know the flag
		cfg.ExtraArgs = append(cfg.ExtraArgs, "--unsafe-no-fsync")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	cluster, err := localcluster.Start(ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Close()) })
	return cluster
}

// ProgramApart is an etcd under a name that no other of the machine has: its own ends
// with more. A collector visits each etcd whose name it looks for. One that refuses it
// has a client that was refused, which its own collector tells: that would be another
// test's.
func ProgramApart(t *testing.T, version, more string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), fmt.Sprintf("etcd-of-%d%s", os.Getpid(), more))
	Install(t, Binary(t, version), path)
	return path
}

// StartApart is Start with programs apart, one for each member.
func StartApart(t *testing.T, version string, cfg localcluster.Config) *localcluster.Cluster {
	t.Helper()
	cfg.Binaries = map[string]string{}
	for i := range max(cfg.Size, 1) {
		member := fmt.Sprintf("n%d", i+1)
		cfg.Binaries[member] = ProgramApart(t, version, "-"+member)
	}
	return Start(t, version, cfg)
}
