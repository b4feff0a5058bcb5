// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// standInVariable makes this test binary play etcd: a real process of any name,
// with any arguments, that lives until its input is closed.
const standInVariable = "DISCOVERY_TEST_STAND_IN"

func TestMain(m *testing.M) {
	if os.Getenv(standInVariable) != "" {
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	os.Exit(m.Run())
}

func TestScannerFindsARealProcessUntilItEnds(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED, not tested here: only Linux has the proc file system that is read, this is " + runtime.GOOS)
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	ca := filepath.Join(dir, "ca.crt")
	require.NoError(t, os.WriteFile(ca, []byte("certificate"), 0o600))

	cmd := exec.Command(copySelfAs(t, filepath.Join(dir, "etcd")),
		"--name", "real", "--listen-client-urls=https://0.0.0.0:12379,http://localhost:12381", "-trusted-ca-file", "ca.crt", "--client-cert-auth")
	cmd.Dir = dir
	cmd.Env = []string{standInVariable + "=1", "ETCD_DATA_DIR=data", "ETCD_NAME=env"}
	input, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start()) // returns after the new program was loaded
	t.Cleanup(func() { _ = input.Close(); _ = cmd.Wait() })

	assert.Equal(t, []Process{{
		PID:            cmd.Process.Pid,
		Name:           "real",
		DataDir:        filepath.Join(dir, "data"),
		ClientURLs:     []string{"http://localhost:12381", "https://127.0.0.1:12379"},
		PeerURLs:       []string{"http://localhost:2380"},
		TrustedCAFile:  ca,
		ClientCertAuth: true,
	}}, scanFor(t, cmd.Process.Pid))
	content, err := Scanner{}.ReadFile(cmd.Process.Pid, ca)
	require.NoError(t, err)
	assert.Equal(t, "certificate", string(content))

	require.NoError(t, os.Remove(cmd.Path))
	assert.Len(t, scanFor(t, cmd.Process.Pid), 1, "still found after its binary was replaced")

	require.NoError(t, input.Close())
	require.NoError(t, cmd.Wait())
	assert.Empty(t, scanFor(t, cmd.Process.Pid))
}

// scanFor scans this host and keeps one process: others may run etcd here too.
func scanFor(t *testing.T, pid int) []Process {
	t.Helper()
	found, err := Scanner{}.Processes()
	require.NoError(t, err)
	var kept []Process
	for _, p := range found {
		if p.PID == pid {
			kept = append(kept, p)
		}
	}
	return kept
}

func copySelfAs(t *testing.T, name string) string {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	content, err := os.ReadFile(self)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(name, content, 0o700))
	return name
}

func TestAProgramThatEmbedsEtcdIsFoundByItsPath(t *testing.T) {
	proc := newFakeProc(t)
	proc.add(11, fakeProcess{exe: "/usr/local/bin/k3s", cwd: "/srv", argv: []string{"k3s", "server", "--data-dir=/k3s"}, environ: []string{}})
	proc.add(12, fakeProcess{exe: "/usr/local/bin/k3s (deleted)", cwd: "/srv", argv: []string{"k3s"}, environ: []string{}})
	proc.add(13, fakeProcess{exe: "/opt/k3s", cwd: "/srv", argv: []string{"/usr/local/bin/k3s"}, environ: []string{}})
	proc.add(14, fakeProcess{exe: "/usr/bin/etcd", cwd: "/srv", argv: []string{"etcd", "--name=n"}, environ: []string{}})
	s := Scanner{Root: proc.root, Paths: []string{"/usr/local/bin/k3s"}}
	all, err := s.Processes()
	require.NoError(t, err)
	require.Len(t, all, 3)
	assert.Equal(t, []Process{{PID: 11}, {PID: 12}}, all[:2], "its settings are not those of etcd")
	assert.Equal(t, "n", all[2].Name)
	for pid, want := range map[int]bool{11: true, 13: false, 14: true, 99: false} {
		_, ok := s.Process(pid)
		assert.Equal(t, want, ok, pid)
	}
	assert.Len(t, proc.scan(), 1, "without paths")
}
