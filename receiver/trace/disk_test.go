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
	"github.com/etcdreceiver/etcdreceiver/internal/discovery"
)

func TestFileSystemsAreNotSettledBeforeEtcdHasAnswered(t *testing.T) {
	proc := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(proc, "7", "fd"), 0o700))
	backend := filepath.Join(proc, "db")
	require.NoError(t, os.WriteFile(backend, nil, 0o600))
	require.NoError(t, os.Symlink(backend, filepath.Join(proc, "7", "fd", "5")))
	require.Len(t, fileSystems(proc, 7, ""), 1)
	tr := &tracer{Tracer: &Tracer{Settings: Settings{ProcRoot: proc}}, programs: &bpf.Programs{}, disk: &bpf.Disk{}}
	p := &process{Process: discovery.Process{PID: 7}, attachment: &bpf.Attachment{}}
	tr.followFiles(p) // only the backend is open: the WAL may be on another file system
	assert.False(t, p.filesFollowed)
}
