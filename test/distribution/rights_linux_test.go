// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package distribution

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf/features"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/internal/otlpsink"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// toTrace are the capabilities that ebpf.drop_capabilities is about, CAP_SYS_PTRACE,
// CAP_SYS_ADMIN, CAP_SYS_RESOURCE, CAP_PERFMON and CAP_BPF, by number:
// include/uapi/linux/capability.h.
const toTrace = 1<<19 | 1<<21 | 1<<24 | 1<<38 | 1<<39

// openFolder is one that all users can read.
func openFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(folder)) })
	require.NoError(t, os.Chmod(folder, 0o755))
	return folder
}

// asNobody has StartDistribution run the distribution as an ordinary user that has just
// what tracing needs.
func asNobody(t *testing.T) {
	t.Helper()
	caps := "+bpf,+perfmon,+sys_ptrace"
	if features.HaveBPFLinkUprobeMulti() != nil { // before Linux 6.6
		caps += ",+sys_admin"
	}
	as(t, "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps="+caps, "--ambient-caps="+caps)
}

// as has StartDistribution run the distribution with what setpriv(1) gives it.
func as(t *testing.T, options ...string) {
	t.Helper()
	if _, err := exec.LookPath("setpriv"); err != nil {
		harness.NotHere(t, "the program setpriv is missing")
	}
	folder := openFolder(t)
	collector, start := filepath.Join(folder, "otelcol-etcd"), filepath.Join(folder, "start")
	harness.Install(t, harness.Distribution(t), collector)
	require.NoError(t, os.WriteFile(start, fmt.Appendf(nil, "#!/bin/sh\nexec setpriv %s %s \"$@\"\n", strings.Join(options, " "), collector), 0o755))
	t.Setenv("OTELCOL_ETCD", start)
}

// bounding is the bounding set of this process.
func bounding(t *testing.T) uint64 {
	t.Helper()
	for _, sets := range threads(t, os.Getpid()) {
		return sets["CapBnd"]
	}
	return 0
}

// threads are the capability sets of each thread of a process, by the names of
// /proc/PID/status.
func threads(t *testing.T, pid int) map[string]map[string]uint64 {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	require.NoError(t, err)
	all := map[string]map[string]uint64{}
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			continue // it has ended
		}
		sets := map[string]uint64{}
		for lines := bufio.NewScanner(file); lines.Scan(); {
			if set, value, _ := strings.Cut(lines.Text(), ":"); strings.HasPrefix(set, "Cap") {
				sets[set], err = strconv.ParseUint(strings.TrimSpace(value), 16, 64)
				require.NoError(t, err)
			}
		}
		require.NoError(t, file.Close())
		if len(sets) > 0 {
			all[name] = sets
		}
	}
	return all
}

// keepsThem tells which threads have a capability to trace whenever one looks. The one
// that traces has them for a moment, now and then, which may be all that one look sees of
// a thread that is new: there are two.
func keepsThem(t *testing.T, pid int) (keep []string) {
	t.Helper()
	first := keptNow(t, pid)
	if len(first) == 0 {
		return nil
	}
	again := keptNow(t, pid)
	return slices.DeleteFunc(first, func(thread string) bool { return !slices.Contains(again, thread) })
}

func keptNow(t *testing.T, pid int) (keep []string) {
	t.Helper()
	seen, had := map[string]int{}, map[string]int{}
	for range 100 {
		for thread, sets := range threads(t, pid) {
			seen[thread]++
			if sets["CapEff"]&toTrace != 0 {
				had[thread]++
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	for thread, n := range had {
		if n == seen[thread] && n > 1 {
			keep = append(keep, thread)
		}
	}
	return keep
}

// A collector with ebpf.drop_capabilities traces as before, also an etcd that begins
// anew, another one, and after a reload, and another receiver that does not ask for it
// does too; but nothing else in it has the rights.
func TestCapabilitiesToTraceAreDroppedFromAllThatDoesNotTrace(t *testing.T) {
	harness.NeedRoot(t)
	harness.Distribution(t)
	for user, tc := range map[string]struct {
		become   func(*testing.T)
		bounded  uint64 // the capabilities to trace that root's programs could have
		programs bool   // have none
	}{
		"root":                     {func(*testing.T) {}, 0, true},
		"an ordinary user":         {asNobody, bounding(t) & toTrace, true}, // who may not change that
		"root without CAP_SETPCAP": {func(t *testing.T) { as(t, "--bounding-set=-setpcap") }, bounding(t) & toTrace, false},
	} {
		t.Run(user, func(t *testing.T) {
			tc.become(t)
			one, other := harness.Start(t, "3.6", localcluster.Config{}), harness.Start(t, "3.6", localcluster.Config{})
			got := &received{metrics: map[string]bool{"": true}}
			sink, err := otlpsink.Start(otlpsink.Config{OnLogs: got.takeLogs, OnMetrics: got.takeMetrics})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, sink.Close()) })
			config := func(drop bool, receivers string) string {
				return fmt.Sprintf(`
receivers:
  etcd: {endpoints: [%q], collection_interval: 200ms, status: {enabled: false}, watch: {enabled: false}, ebpf: {mode: required, drop_capabilities: %t}}
  etcd/other: {endpoints: [%q], collection_interval: 200ms, status: {enabled: false}, watch: {enabled: false}, ebpf: {mode: required}}
exporters:
  otlp_grpc: {endpoint: %q, tls: {insecure: true}, sending_queue: {enabled: false}}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    logs: {receivers: [%[5]s], exporters: [otlp_grpc]}
    metrics: {receivers: [%[5]s], exporters: [otlp_grpc]}
`, one.Endpoints()[0], drop, other.Endpoints()[0], sink.Addr(), receivers)
			}
			file := filepath.Join(openFolder(t), "config.yaml")
			configure := func(drop bool, receivers string) {
				t.Helper()
				require.NoError(t, os.WriteFile(file, []byte(config(drop, receivers)), 0o644))
			}
			configure(true, "etcd, etcd/other")

			var clients []*clientv3.Client
			for _, cluster := range []*localcluster.Cluster{one, other} {
				client, err := cluster.Client()
				require.NoError(t, err)
				t.Cleanup(func() { _ = client.Close() })
				clients = append(clients, client)
			}
			n := 0
			traced := func(when string, clients ...*clientv3.Client) {
				t.Helper()
				for _, client := range clients {
					n++
					key := fmt.Sprintf("/rights/%d", n)
					_, err := client.Put(t.Context(), key, "value")
					require.NoError(t, err)
					for began := time.Now(); !got.has("etcd.request.put "+key, ""); time.Sleep(20 * time.Millisecond) {
						require.Less(t, time.Since(began), patience, "not traced %s", when)
					}
				}
			}
			const isTraced = "requests of etcd are traced"
			c := harness.StartDistribution(t, nil, file)
			c.Await(t, isTraced, 2)
			without := func(when string) {
				t.Helper()
				assert.Empty(t, keepsThem(t, c.PID()), "threads that keep the rights %s", when)
				for thread, sets := range threads(t, c.PID()) {
					assert.Zero(t, sets["CapInh"]&toTrace, "%s %s: inheritable", thread, when)
					assert.Zero(t, sets["CapAmb"]&toTrace, "%s %s: ambient", thread, when)
					assert.Equal(t, tc.bounded, sets["CapBnd"]&toTrace, "%s %s: of programs that it starts", thread, when)
				}
			}
			assert.Contains(t, string(c.Output()), "capabilities are dropped from all but the thread that traces")
			assert.Contains(t, string(c.Output()), fmt.Sprintf(`"from_programs_it_starts": %t`, tc.programs))
			without("at the start")
			traced("at the start", clients...)

			for _, cluster := range []*localcluster.Cluster{one, other} {
				require.NoError(t, cluster.Members()[0].Stop())
				require.NoError(t, cluster.Members()[0].Restart(t.Context()))
			}
			c.Await(t, isTraced, 4)
			traced("after etcd began anew", clients...)
			without("after etcd began anew")
			for began := time.Now(); !got.has("etcd.request.put /rights/4", "etcd.client.requests"); time.Sleep(20 * time.Millisecond) {
				require.Less(t, time.Since(began), patience, "no metrics of requests")
			}

			require.NoError(t, c.Signal(syscall.SIGHUP))
			c.Await(t, isTraced, 6)
			traced("after a reload", clients...)
			without("after a reload")

			configure(false, "etcd/other")
			require.NoError(t, c.Signal(syscall.SIGHUP))
			c.Await(t, isTraced, 7)
			traced("by a receiver that does not drop them, after the one that did has ended", clients[1])
			without("after the receiver that dropped them has ended")
			harness.AwaitNoLinksInto(t, one.Members()[0].PID()) // the other receiver looks into that etcd now and then

			assert.Equal(t, 1, strings.Count(string(c.Output()), "capabilities are dropped"), "they can be dropped once")
			require.NoError(t, c.Stop(patience))
			assert.NotContains(t, string(c.Output()), "panic")
		})
	}
}

// TestAnEtcdIsFoundByItsEnvironmentOnceTheRightsAreDropped: without endpoints the
// settings of etcd are looked for, and those of a process that has more rights are to be
// seen with CAP_SYS_PTRACE only.
func TestAnEtcdIsFoundByItsEnvironmentOnceTheRightsAreDropped(t *testing.T) {
	harness.NeedRoot(t)
	harness.Distribution(t)
	config := harness.ConfigFile(t, `
receivers:
  etcd: {status: {enabled: false}, ebpf: {mode: required, drop_capabilities: true}}
exporters: {nop: {}}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    logs: {receivers: [etcd], exporters: [nop]}
`)
	at := "http://" + harness.FreeAddress(t)
	start := filepath.Join(t.TempDir(), "start") // where both see no other process
	require.NoError(t, os.WriteFile(start, fmt.Appendf(nil, `#!/bin/sh
export ETCD_DATA_DIR=%s ETCD_LISTEN_CLIENT_URLS=%s ETCD_ADVERTISE_CLIENT_URLS=%[2]s ETCD_LISTEN_PEER_URLS=http://127.0.0.1:0
exec unshare --mount --pid --fork --kill-child --mount-proc sh -c '"$0" 2>/dev/null & exec "$@"' %[3]s %[4]s "$@"
`, t.TempDir(), at, harness.Binary(t, "3.6"), harness.Distribution(t)), 0o755))
	t.Setenv("OTELCOL_ETCD", start)
	c := harness.StartDistribution(t, nil, config)
	c.Await(t, "capabilities are dropped", 1)
	c.Await(t, "requests of etcd are traced", 1)
	c.Await(t, at, 1) // it is watched there
}
