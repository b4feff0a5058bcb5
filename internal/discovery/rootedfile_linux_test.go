// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadFileDoesNotWaitForAWriterOfANamedPipe(t *testing.T) {
	proc := newFakeProc(t)
	proc.add(7, fakeProcess{})
	require.NoError(t, syscall.Mkfifo(filepath.Join(proc.root, "7", "root", "pipe"), 0o600))
	_, err := Scanner{Root: proc.root}.ReadFile(7, "/pipe")
	assert.ErrorContains(t, err, "not a regular file")
}
