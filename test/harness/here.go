// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// NotHere skips what this machine cannot show. CI (CI is set) must skip nothing.
func NotHere(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("CI must skip nothing: " + why)
	}
	t.Skip("NOT PROVEN: " + why)
}

// NeedRoot is for tests that put programs into the kernel.
func NeedRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		NotHere(t, "programs in the kernel need root here")
	}
}

// Install puts a program at a place, in the same inode if there is one already, as cp
// does.
func Install(t *testing.T, from, to string) {
	t.Helper()
	source, err := os.Open(from)
	require.NoError(t, err)
	defer func() { _ = source.Close() }()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	require.NoError(t, err)
	_, err = io.Copy(target, source)
	require.NoError(t, err)
	require.NoError(t, target.Close())
}
