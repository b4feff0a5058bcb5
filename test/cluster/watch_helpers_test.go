// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// watchYAML is a configuration with short intervals. more are further lines of
// its top level, or replace those that are there.
func watchYAML(endpoints []string, more ...string) string {
	lines := more
	for _, line := range []string{
		"collection_interval: 200ms", "initial_delay: 0s", "timeout: 5s",
		"retry_on_failure: {initial_interval: 50ms, max_interval: 200ms}",
		`endpoints: ["` + strings.Join(endpoints, `", "`) + `"]`,
	} {
		key, _, _ := strings.Cut(line, " ")
		if !slices.ContainsFunc(more, func(other string) bool { return strings.HasPrefix(other, key) }) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// watchRun runs a receiver whose pipeline answers as refuse says, and waits until
// it watches that many prefixes: what is written before is not followed.
func watchRun(t *testing.T, config string, prefixes int, refuse func(plog.Logs) error) *harness.Receiver {
	t.Helper()
	r := harness.New(t, config, true, true)
	r.RefuseLogs = refuse
	r.Start(t)
	t.Cleanup(func() { r.Stop(t) })
	watchOpened(t, r, prefixes)
	return r
}

// watchOpened waits until the receiver has said that often that it watches.
func watchOpened(t *testing.T, r *harness.Receiver, times int) {
	t.Helper()
	waitFor(t, fmt.Sprintf("the watch is opened %d times", times), func() bool { return r.Log.FilterMessage("watching").Len() >= times })
}

// watchPut writes a key and gives the revision.
func watchPut(t *testing.T, client *clientv3.Client, key, value string) int64 {
	t.Helper()
	answer, err := client.Put(testContext(t), key, value)
	require.NoError(t, err)
	return answer.Header.Revision
}

// watchPuts writes several keys in one revision.
func watchPuts(t *testing.T, client *clientv3.Client, keys ...string) int64 {
	t.Helper()
	var ops []clientv3.Op
	for _, key := range keys {
		ops = append(ops, clientv3.OpPut(key, "value of "+key))
	}
	answer, err := client.Txn(testContext(t)).Then(ops...).Commit()
	require.NoError(t, err)
	return answer.Header.Revision
}

// watchChange is a log record of a change, as far as it identifies it.
type watchChange struct {
	revision int64
	key      string
}

func watchChangeOf(r harness.Record) watchChange {
	return watchChange{r.Attrs["etcd.kv.mod_revision"].(int64), r.Attrs["etcd.key"].(string)}
}

// watchRecords are the records of changes and gaps, without those of the status.
func watchRecords(r *harness.Receiver) []harness.Record {
	return watchNamed(r, "etcd.kv.put", "etcd.kv.delete", "etcd.watch.gap")
}

func watchNamed(r *harness.Receiver, names ...string) []harness.Record {
	var out []harness.Record
	for _, record := range r.Records() {
		if slices.Contains(names, record.Name) {
			out = append(out, record)
		}
	}
	return out
}

func watchChanges(r *harness.Receiver) []watchChange {
	var out []watchChange
	for _, record := range watchNamed(r, "etcd.kv.put", "etcd.kv.delete") {
		out = append(out, watchChangeOf(record))
	}
	return out
}

// watchArrived waits until a change has arrived.
func watchArrived(t *testing.T, r *harness.Receiver, revision int64, key string) {
	t.Helper()
	waitFor(t, fmt.Sprintf("%s of revision %d arrives", key, revision), func() bool {
		return slices.Contains(watchChanges(r), watchChange{revision, key})
	})
}

// watchKeys are the keys of the changes in a batch, in its order.
func watchKeys(logs plog.Logs) []string {
	var out []string
	watchEach(logs, func(lr plog.LogRecord) {
		if key, ok := lr.Attributes().Get("etcd.key"); ok {
			out = append(out, key.Str())
		}
	})
	return out
}

func watchEach(logs plog.Logs, do func(plog.LogRecord)) {
	for _, rl := range logs.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				do(lr)
			}
		}
	}
}

// watchCounter is the sum of one of the receiver's own counters, over the points
// that carry label and value; all of them if label is "".
func watchCounter(t *testing.T, r *harness.Receiver, name, label, value string) int64 {
	t.Helper()
	return r.Counter(name, label, value)
}

// watchGate is a pipeline that can be closed.
type watchGate struct {
	closed  atomic.Bool
	refused atomic.Int64 // batches of changes
}

func (g *watchGate) answer(logs plog.Logs) error {
	if !g.closed.Load() {
		return nil
	}
	if len(watchKeys(logs)) > 0 {
		g.refused.Add(1)
	}
	return errors.New("the pipeline is full")
}

// closeUntilRefused closes the gate and makes the receiver offer a change to it.
func (g *watchGate) closeUntilRefused(t *testing.T, client *clientv3.Client, key string) int64 {
	t.Helper()
	g.closed.Store(true)
	before := g.refused.Load()
	revision := watchPut(t, client, key, "refused for now")
	waitFor(t, "a batch is refused", func() bool { return g.refused.Load() > before })
	return revision
}
