// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// startContained starts an etcd as a container runtime does: with a root file
// system, process ids and mounts of its own, in which it is process 1.
func startContained(t *testing.T) (endpoint string, pid int) {
	t.Helper()
	root := t.TempDir()
	program, err := os.ReadFile(harness.Binary(t, "3.6"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(root, "etcd"), program, 0o755))
	client, peer := "http://"+harness.FreeAddress(t), "http://"+harness.FreeAddress(t)
	cmd := exec.Command("/etcd", "--data-dir=/data", "--name=contained", "--unsafe-no-fsync", "--listen-client-urls="+client,
		"--advertise-client-urls="+client, "--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=contained="+peer)
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot: root, Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS, Pdeathsig: syscall.SIGKILL,
	}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // it was killed
	})
	return client, cmd.Process.Pid
}

func TestAnEtcdInAContainerIsFoundAndTracedFromTheHost(t *testing.T) {
	harness.NeedRoot(t)
	proveContained(t)
}

func proveContained(t *testing.T) {
	t.Helper()
	endpoint, pid := startContained(t)
	r := harness.New(t, fmt.Sprintf(`
endpoints: [%s]
status: {enabled: false}
ebpf: {mode: required, events: {mode: all}, processes: {rescan: 100ms}}`, endpoint), true, false)
	r.Start(t)
	t.Cleanup(func() { r.Stop(t) })
	waitFor(t, "an etcd that is traced", func() bool { return r.Log.FilterMessage("requests of etcd are traced").Len() > 0 })
	traced := r.Log.FilterMessage("requests of etcd are traced").All()[0].ContextMap()
	assert.EqualValues(t, pid, traced["pid"], "its id on the host, where it is not 1")
	assert.Equal(t, "contained", traced["name"])

	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	put, err := client.Put(t.Context(), "/a", "value")
	require.NoError(t, err)
	waitFor(t, "the request and the change", func() bool {
		told := map[string]bool{}
		for _, record := range r.Records() {
			if record.Attrs["etcd.key"] == "/a" && record.Attrs["client.address"] == "127.0.0.1" &&
				(record.Attrs["etcd.revision"] == put.Header.Revision || record.Attrs["etcd.kv.mod_revision"] == put.Header.Revision) {
				told[record.Name] = true
			}
		}
		return told["etcd.request.put"] && told["etcd.kv.put"]
	})
}
