// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// descriptor is one of this process.
type descriptor struct{ to, info string }

func descriptors(t *testing.T) (all []descriptor) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, e := range entries {
		to, _ := os.Readlink(filepath.Join("/proc/self/fd", e.Name()))
		info, _ := os.ReadFile(filepath.Join("/proc/self/fdinfo", e.Name()))
		all = append(all, descriptor{to, string(info)})
	}
	return all
}

// probes counts the links and events of this process into functions of others. The
// events of a perf buffer are mapped, and are none.
func probes(t *testing.T) (n int) {
	t.Helper()
	mapped, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	n = -strings.Count(string(mapped), "[perf_event]")
	for _, fd := range descriptors(t) {
		ofTheKernel := strings.Contains(fd.info, "tp_name:\t") || strings.Contains(fd.info, "link_type:\titer")
		if strings.Contains(fd.to, "bpf_link") && !ofTheKernel || strings.Contains(fd.to, "perf_event") {
			n++
		}
	}
	return n
}

func TestAnEtcdIsTracedFromItsBeginAndForgottenAtItsEndWithoutARescan(t *testing.T) {
	const restarts = 20
	cluster := harness.StartApart(t, "3.6", localcluster.Config{}) // an etcd of another test would keep its probes for the hour
	member := cluster.Members()[0]
	require.NoError(t, member.Kill())
	settings := everything()
	settings.Names, settings.Rescan = []string{filepath.Base(member.Binary())}, time.Hour
	verified := map[int]time.Time{}
	tr := &tracing{}
	tr.told = func(pid int) {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		if verified[pid].IsZero() && tr.state[pid] == nil {
			verified[pid] = time.Now()
		}
	}
	tr.follow(t, cluster, settings, "")
	var fromExec, fromReady []time.Duration
	for i := range restarts {
		began := time.Now()
		require.NoError(t, member.Restart(t.Context()))
		ready := time.Now()
		pid := member.PID()
		tr.awaitTraced(t, pid)
		key := "/restart/" + strconv.Itoa(i)
		_, err := pb.NewKVClient(call(t, cluster, member, nil).ClientConn).Put(t.Context(), &pb.PutRequest{Key: []byte(key)})
		require.NoError(t, err)
		waitFor(t, "the record of "+key, func() bool {
			return slices.ContainsFunc(tr.Records(), func(r record) bool { return r.text("etcd.key") == key })
		})
		require.NoError(t, member.Kill())
		waitFor(t, "the end of all probes", func() bool { return probes(t) == 0 })

		tr.mu.Lock()
		fromExec, fromReady = append(fromExec, verified[pid].Sub(began)), append(fromReady, verified[pid].Sub(ready))
		tr.mu.Unlock()
	}
	slices.Sort(fromExec)
	slices.Sort(fromReady)
	t.Logf("from its begin until it is traced: median %s, longest %s; from its first answer to another client: median %s, longest %s",
		fromExec[restarts/2], fromExec[restarts-1], fromReady[restarts/2], fromReady[restarts-1])
	require.Empty(t, tr.Lost())
}
