// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

func TestAnEtcdThatIsReplacedIsTracedAgain(t *testing.T) {
	harness.NeedRoot(t)
	before := held(t)
	// Names, because a PID cannot follow: no other etcd of this host is called so.
	name := filepath.Base(t.Name())
	program := filepath.Join(t.TempDir(), name)
	harness.Install(t, harness.Binary(t, "3.5"), program)
	cluster, err := localcluster.Start(t.Context(), localcluster.Config{Binary: program, ExtraArgs: []string{"--unsafe-no-fsync"}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Close()) })
	member := cluster.Members()[0]
	settings := everything()
	settings.Names = []string{name}
	tr := follow(t, cluster, settings, "")

	isTraced := func(key, version string) {
		t.Helper()
		tr.awaitTraced(t, member.PID())
		_, err := pb.NewKVClient(call(t, cluster, member, nil).ClientConn).Put(t.Context(), &pb.PutRequest{Key: []byte(key)})
		require.NoError(t, err)
		var found []record
		waitFor(t, "the record of "+key, func() bool {
			found = nil
			for _, r := range tr.Records() {
				if r.text("etcd.key") == key {
					found = append(found, r)
				}
			}
			return len(found) > 0
		})
		require.Len(t, found, 1)
		assert.True(t, strings.HasPrefix(found[0].resource["service.version"].(string), version), "%v", found[0].resource)
	}
	isTraced("/first", "3.5.")

	require.NoError(t, member.Stop())
	require.NoError(t, member.Restart(t.Context()))
	isTraced("/stopped", "3.5.")

	require.NoError(t, member.Kill())
	require.NoError(t, member.Restart(t.Context()))
	isTraced("/killed", "3.5.")

	old := member.PID()
	require.NoError(t, member.Stop())
	waitFor(t, "the end of all probes", func() bool { return probes(t) == 0 })
	harness.Install(t, harness.Binary(t, "3.6"), program)
	require.NoError(t, member.Restart(t.Context()))
	isTraced("/upgraded", "3.6.")
	assert.NoError(t, tr.stateOf(old), "a process that is gone is no failure")

	tr.stop()
	assert.Equal(t, before, held(t), "nothing stays in the kernel")
	_, err = pb.NewKVClient(call(t, cluster, member, nil).ClientConn).Put(t.Context(), &pb.PutRequest{Key: []byte("/untraced")})
	assert.NoError(t, err)
}

// held counts what this process holds of the kernel's: programs, maps, links and
// the probes in others, by kind.
func held(t *testing.T) map[string]int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	n := map[string]int{}
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && (strings.Contains(to, "bpf") || strings.Contains(to, "perf")) {
			n[to]++
		}
	}
	return n
}
