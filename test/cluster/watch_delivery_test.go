// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

func TestWatchLosesAndRepeatsNothingWhileThePipelineRefuses(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		c := harness.Start(t, version, localcluster.Config{})
		client := newClient(t, c)
		var gate watchGate
		r := watchRun(t, watchYAML(c.Endpoints(), "watch: {batch: {max_records: 10}}"), 1, gate.answer)

		want := []watchChange{{watchPut(t, client, "/before", ""), "/before"}}
		watchArrived(t, r, want[0].revision, "/before")
		want = append(want, watchChange{gate.closeUntilRefused(t, client, "/refused"), "/refused"})
		for i := range 100 {
			key := fmt.Sprintf("/meanwhile/%d", i)
			want = append(want, watchChange{watchPut(t, client, key, ""), key})
		}
		collections := len(r.Metrics())
		waitFor(t, "metrics are collected meanwhile", func() bool { return len(r.Metrics()) >= collections+3 })
		assert.Len(t, watchChanges(r), 1)

		gate.closed.Store(false)
		last := watchPut(t, client, "/after", "")
		watchArrived(t, r, last, "/after")
		assert.Equal(t, append(want, watchChange{last, "/after"}), watchChanges(r))
		assert.Empty(t, watchNamed(r, "etcd.watch.gap"))
		assert.Positive(t, watchCounter(t, r, "receiver_etcd_retries", "", ""))
		assert.Zero(t, watchCounter(t, r, "receiver_etcd_events_lost", "", ""))
		assert.Equal(t, 1, r.Log.FilterMessageSnippet("refuses log records for now").Len(), "told once, not once per attempt")
	})
}

func TestWatchOffersAgainOnlyWhatThePipelineDidNotTake(t *testing.T) {
	c := harness.Start(t, "3.6", localcluster.Config{})
	client := newClient(t, c)
	var mu sync.Mutex
	var taken []string
	refused := false
	r := watchRun(t, watchYAML(c.Endpoints()), 1, func(logs plog.Logs) error {
		mu.Lock()
		defer mu.Unlock()
		keys := watchKeys(logs)
		if len(keys) < 3 || refused {
			taken = append(taken, keys...)
			return nil
		}
		refused = true
		taken = append(taken, keys[0])
		rest := plog.NewLogs()
		logs.CopyTo(rest)
		first := true
		rest.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().RemoveIf(func(plog.LogRecord) bool {
			was := first
			first = false
			return was
		})
		return consumererror.NewLogs(errors.New("took one record"), rest)
	})
	watchPuts(t, client, "/a", "/b", "/c")
	watchArrived(t, r, watchPut(t, client, "/last", ""), "/last")
	mu.Lock()
	defer mu.Unlock()
	assert.Equal(t, []string{"/a", "/b", "/c", "/last"}, taken)
}

func TestWatchTellsAGapWhenThePipelineRefusesForGood(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		c := harness.Start(t, version, localcluster.Config{})
		client := newClient(t, c)
		type loss struct{ from, to, count int64 }
		var mu sync.Mutex
		var lost []loss
		r := watchRun(t, watchYAML(c.Endpoints(), "watch: {batch: {max_records: 5}}"), 1, func(logs plog.Logs) error {
			keys := watchKeys(logs)
			if !strings.HasPrefix(strings.Join(keys, ""), "/refused") {
				return nil
			}
			l := loss{count: int64(len(keys))}
			watchEach(logs, func(lr plog.LogRecord) {
				revision, _ := lr.Attributes().Get("etcd.kv.mod_revision")
				if l.from == 0 {
					l.from = revision.Int()
				}
				l.to = revision.Int()
			})
			mu.Lock()
			defer mu.Unlock()
			lost = append(lost, l)
			return consumererror.NewPermanent(errors.New("no such tenant"))
		})

		watchArrived(t, r, watchPut(t, client, "/before", ""), "/before")
		from := watchPuts(t, client, "/refused/1", "/refused/2", "/refused/3")
		for i := range 12 {
			watchPut(t, client, fmt.Sprintf("/refused/alone/%d", i), "")
		}
		to := watchPuts(t, client, "/refused/4", "/refused/5")
		waitFor(t, "all are refused", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(lost) > 0 && lost[len(lost)-1].to == to
		})
		after := watchPut(t, client, "/after", "")
		watchArrived(t, r, after, "/after")

		mu.Lock()
		defer mu.Unlock()
		var told []loss
		var count int64
		for _, gap := range watchNamed(r, "etcd.watch.gap") {
			assert.Equal(t, "refused", gap.Attrs["etcd.gap.reason"])
			assert.Equal(t, "watch", gap.Attrs["etcd.gap.source"])
			assert.Equal(t, "WARN", gap.Severity)
			l := loss{gap.Attrs["etcd.gap.from_revision"].(int64), gap.Attrs["etcd.gap.to_revision"].(int64), gap.Attrs["etcd.gap.count"].(int64)}
			told = append(told, l)
			count += l.count
		}
		require.Equal(t, lost, told)
		assert.Equal(t, from, told[0].from)
		assert.Equal(t, to, told[len(told)-1].to)
		assert.EqualValues(t, 3+12+2, count)
		assert.Equal(t, count, watchCounter(t, r, "receiver_etcd_events_lost", "stage", "refused"))
		assert.EqualValues(t, len(told), watchCounter(t, r, "receiver_etcd_watch_gaps", "reason", "refused"))
		assert.Len(t, watchChanges(r), 2, "those before and after")
	})
}

func TestWatchNeverSplitsARevision(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		const maxRecords = 3
		c := harness.Start(t, version, localcluster.Config{})
		client := newClient(t, c)
		var mu sync.Mutex
		var batches [][]int64 // revisions of the changes
		r := watchRun(t, watchYAML(c.Endpoints(), fmt.Sprintf("watch: {batch: {max_records: %d}}", maxRecords)), 1, func(logs plog.Logs) error {
			var batch []int64
			watchEach(logs, func(lr plog.LogRecord) {
				if revision, ok := lr.Attributes().Get("etcd.kv.mod_revision"); ok {
					batch = append(batch, revision.Int())
				}
			})
			mu.Lock()
			defer mu.Unlock()
			batches = append(batches, batch)
			return nil
		})
		sizes := map[int64]int{} // changes per revision
		for i := range 20 {
			keys := make([]string, 10)
			for j := range keys {
				keys[j] = fmt.Sprintf("/%d/%d", i, j)
			}
			sizes[watchPuts(t, client, keys...)] = len(keys)
			if i%3 == 0 {
				sizes[watchPut(t, client, "/single", "")] = 1
			}
		}
		last := watchPut(t, client, "/last", "")
		sizes[last] = 1
		watchArrived(t, r, last, "/last")

		mu.Lock()
		defer mu.Unlock()
		seen := map[int64]bool{}
		for _, batch := range batches {
			counts := map[int64]int{}
			for _, revision := range batch {
				counts[revision]++
			}
			for revision, n := range counts {
				assert.Equal(t, sizes[revision], n, "changes of revision %d in one batch", revision)
				assert.False(t, seen[revision], "revision %d is in two batches", revision)
				seen[revision] = true
			}
			if len(batch) > 0 {
				assert.Less(t, len(batch)-counts[batch[len(batch)-1]], maxRecords, "a full batch took another revision in: %v", batch)
			}
		}
		assert.Len(t, seen, len(sizes))
	})
}
