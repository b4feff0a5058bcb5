// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// Its name and its command line say nothing of etcd. The cluster lends its ports,
// which the tracer's endpoints are.
func TestAProgramThatEmbedsEtcdIsTracedByItsPath(t *testing.T) {
	harness.NeedRoot(t)
	program := filepath.Join(t.TempDir(), "k3s")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./embedder").CombinedOutput()
	require.NoError(t, err, "%s", out)
	cluster := harness.Start(t, "3.6", localcluster.Config{})
	member := cluster.Members()[0]
	require.NoError(t, member.Kill())
	settings := everything()
	settings.Paths, settings.Rescan = []string{program}, time.Hour
	tr := follow(t, cluster, settings, "")

	k3s := exec.Command(program, t.TempDir(), member.ClientURL, member.PeerURL)
	require.NoError(t, k3s.Start())
	t.Cleanup(func() { _, _ = k3s.Process.Kill(), k3s.Wait() })
	tr.awaitTraced(t, k3s.Process.Pid)
	client, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints(), DialTimeout: patience})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	answer, err := client.Put(t.Context(), "/embedded", "value")
	require.NoError(t, err)
	waitFor(t, "its record", func() bool {
		return slices.ContainsFunc(tr.Records(), func(r record) bool {
			return r.text("etcd.key") == "/embedded" && r.attrs["etcd.revision"] == answer.Header.Revision
		})
	})
}
