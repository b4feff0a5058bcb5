// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package distribution

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf/features"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/internal/otlpsink"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// changes are the changes below /load/ that arrived, by revision, and the requests.
type changes struct {
	mu       sync.Mutex
	uids     map[int64]map[string]bool
	signed   map[int64]bool
	requests map[int64]int
}

func (c *changes) take(logs plog.Logs) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rl := range logs.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				attrs := lr.Attributes().AsRaw()
				switch lr.EventName() {
				case "etcd.kv.put":
					revision := attrs["etcd.kv.mod_revision"].(int64)
					if c.uids[revision] == nil {
						c.uids[revision] = map[string]bool{}
					}
					c.uids[revision][attrs["log.record.uid"].(string)] = true
					c.signed[revision] = c.signed[revision] || attrs["client.address"] != nil
				case "etcd.request.put":
					if revision, ok := attrs["etcd.revision"].(int64); ok {
						c.requests[revision]++
					}
				}
			}
		}
	}
	return nil
}

func (c *changes) has(revision int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.uids[revision]) > 0
}

// traced tells whether a revision came with its request.
func (c *changes) traced(revision int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests[revision] > 0 && c.signed[revision]
}

func TestACollectorThatIsReloadedAndReplacedUnderLoadMissesNoChangeAndTracesAgain(t *testing.T) {
	harness.NeedRoot(t)
	harness.Distribution(t)
	cluster := harness.Start(t, "3.6", localcluster.Config{})
	etcd := cluster.Members()[0].PID()
	got := &changes{uids: map[int64]map[string]bool{}, signed: map[int64]bool{}, requests: map[int64]int{}}
	sink, err := otlpsink.Start(otlpsink.Config{OnLogs: got.take})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sink.Close()) })
	state := t.TempDir()
	config := func(mode string) string {
		return fmt.Sprintf(`
extensions:
  file_storage: {directory: %q}
receivers:
  etcd:
    endpoints: [%q]
    storage: file_storage
    status: {enabled: false}
    ebpf: {mode: required, events: {mode: %s}, processes: {pids: [%d]}}
exporters:
  otlp_grpc: {endpoint: %q, tls: {insecure: true}, sending_queue: {enabled: false}}
service:
  extensions: [file_storage]
  telemetry: {metrics: {level: none}}
  pipelines:
    logs: {receivers: [etcd], exporters: [otlp_grpc]}
`, state, cluster.Endpoints()[0], mode, etcd, sink.Addr())
	}
	file := harness.ConfigFile(t, config("writes"))

	client, err := cluster.Client()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var revisions []int64
	var load sync.WaitGroup
	stop := sync.OnceFunc(func() { cancel(); load.Wait() })
	t.Cleanup(func() { stop(); require.NoError(t, client.Close()) })
	begin := func() {
		load.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience) // so that each is known
				answer, err := client.Put(whole, fmt.Sprintf("/load/%d", n%100), "value")
				cancel()
				if !assert.NoError(t, err) {
					return
				}
				mu.Lock()
				revisions = append(revisions, answer.Header.Revision)
				mu.Unlock()
			}
		})
	}
	newest := func() int64 {
		mu.Lock()
		defer mu.Unlock()
		return revisions[len(revisions)-1]
	}
	const row = 200
	tracesAgain := func(what string) { // while the load goes on: that many changes in a row
		t.Helper()
		for began, from := time.Now(), newest(); ; time.Sleep(50 * time.Millisecond) {
			n := int64(0)
			for revision := from + 1; revision <= newest() && n < row; revision++ {
				if n++; !got.traced(revision) {
					n = 0
				}
			}
			if n >= row {
				return
			}
			require.Less(t, time.Since(began), patience, "not traced after %s", what)
		}
	}

	c := harness.StartDistribution(t, nil, file)
	c.Await(t, "requests of etcd are traced", 1)
	if features.HaveBPFLinkUprobeMulti() == nil { // probes by perf are not counted
		require.Positive(t, harness.LinksInto(t, etcd))
	}
	begin()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		mu.Lock()
		n := len(revisions)
		mu.Unlock()
		if n > 0 {
			break
		}
		require.Less(t, time.Since(began), patience)
	}
	tracesAgain("the start")

	for i, mode := range []string{"all", "writes"} {
		require.NoError(t, os.WriteFile(file, []byte(config(mode)), 0o600))
		require.NoError(t, c.Signal(syscall.SIGHUP))
		c.Await(t, "requests of etcd are traced", i+2)
		tracesAgain("a reload")
	}
	require.NoError(t, c.Stop(patience))
	harness.AwaitNoLinksInto(t, etcd)
	next := harness.StartDistribution(t, nil, file) // an upgrade is another process
	next.Await(t, "requests of etcd are traced", 1)
	tracesAgain("an upgrade")

	stop()
	mu.Lock()
	all := revisions
	mu.Unlock()
	for _, revision := range all {
		for began := time.Now(); !got.has(revision); time.Sleep(20 * time.Millisecond) {
			require.Less(t, time.Since(began), patience, "revision %d is missing", revision)
		}
	}
	require.NoError(t, next.Stop(patience))
	harness.AwaitNoLinksInto(t, etcd)
	signed := 0
	got.mu.Lock()
	defer got.mu.Unlock()
	for _, revision := range all {
		assert.Len(t, got.uids[revision], 1, "a change that is told twice has the same uid")
		assert.LessOrEqual(t, got.requests[revision], 1, "a request is told once")
		if got.signed[revision] {
			signed++
		}
	}
	assert.NotContains(t, string(c.Output())+string(next.Output()), "panic")
	t.Logf("%d changes, none missing; %d with their author, the rest were made while no collector traced", len(all), signed)
}
