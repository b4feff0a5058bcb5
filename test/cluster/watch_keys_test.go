// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// watchFill puts n keys in transactions, and gives the last revision.
func watchFill(t *testing.T, client *clientv3.Client, n int, key func(i int) string) (last int64) {
	t.Helper()
	var ops []clientv3.Op
	for i := range n {
		ops = append(ops, clientv3.OpPut(key(i), fmt.Sprintf("value %d", i)))
		if len(ops) == 100 || i == n-1 {
			answer, err := client.Txn(testContext(t)).Then(ops...).Commit()
			require.NoError(t, err)
			last, ops = answer.Header.Revision, nil
		}
	}
	return last
}

// While the keys are read, they change: each is told once as it was at the
// revision of the snapshot, and every change after that revision arrives.
func TestWatchTellsEveryExistingKeyOnceAndThenTheChangesThatFollow(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		c := harness.Start(t, version, localcluster.Config{})
		client := newClient(t, c)
		const keys = 5000
		watchFill(t, client, keys, func(i int) string { return fmt.Sprintf("/registry/kind-%d/%x", i%7, i) })
		watchPut(t, client, "/binary/\xff\xfe", "")
		watchPut(t, client, "/skip/this", "")
		_, err := client.Delete(testContext(t), "/registry/kind-0/0")
		require.NoError(t, err)

		r := harness.Run(t, watchYAML(c.Endpoints(), `watch: {initial_snapshot: true, exclude: [/skip/], batch: {max_records: 100}}`))
		for i := 0; r.Log.FilterMessage("the existing keys are told").Len() == 0; i++ {
			watchPut(t, client, fmt.Sprintf("/registry/kind-%d/%x", i%7, i%200), "changed")
		}
		last := watchPut(t, client, "/end", "")
		watchArrived(t, r, last, "/end")

		closing := watchNamed(r, "etcd.watch.snapshot")
		require.Len(t, closing, 1)
		revision := closing[0].Attrs["etcd.snapshot.revision"].(int64)
		want := map[string]int64{}
		at, err := client.Get(testContext(t), "", clientv3.WithFromKey(), clientv3.WithRev(revision))
		require.NoError(t, err)
		for _, kv := range at.Kvs {
			if key := string(kv.Key); key != "/skip/this" {
				want[strings.ReplaceAll(key, "\xff\xfe", `\xff\xfe`)] = kv.ModRevision
			}
		}
		got := map[string]int64{}
		next := revision + 1
		for _, record := range watchNamed(r, "etcd.kv.put") {
			change := watchChangeOf(record)
			if record.Attrs["etcd.kv.origin"] == "snapshot" {
				assert.NotContains(t, got, change.key, "told once")
				assert.Equal(t, revision+1, next, "before all changes")
				got[change.key] = change.revision
				continue
			}
			assert.Equal(t, next, change.revision)
			next++
		}
		assert.Equal(t, want, got)
		assert.Equal(t, last+1, next)
		assert.EqualValues(t, len(want), closing[0].Attrs["etcd.snapshot.count"])
		assert.Empty(t, watchNamed(r, "etcd.watch.gap"))
	})
}

func TestWatchTellsAfterACompactionTheKeysThatChangedInTheGap(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		for mode, want := range map[string][]string{
			"resync":   {"/changed/1", "/changed/2"},
			"snapshot": {"/before", "/changed/1", "/changed/2", "/stuck"},
		} {
			t.Run(mode, func(t *testing.T) {
				c := harness.Start(t, version, localcluster.Config{})
				client := newClient(t, c)
				var gate watchGate
				r := watchRun(t, watchYAML(c.Endpoints(), "watch: {on_compaction: "+mode+"}"), 1, gate.answer)
				watchArrived(t, r, watchPut(t, client, "/before", ""), "/before")
				gate.closeUntilRefused(t, client, "/stuck")
				require.NoError(t, c.Members()[0].Kill())
				require.NoError(t, c.Members()[0].Restart(testContext(t)))
				watchPut(t, client, "/changed/1", "")
				watchPut(t, client, "/changed/2", "lost")
				watchPut(t, client, "/changed/2", "")
				compacted := watchPut(t, client, "/at-the-compacted-revision", "")
				_, err := client.Compact(testContext(t), compacted, clientv3.WithCompactPhysical())
				require.NoError(t, err)
				last := watchPut(t, client, "/last", "")
				gate.closed.Store(false)
				watchArrived(t, r, last, "/last")

				require.Len(t, watchNamed(r, "etcd.watch.gap"), 1)
				told := map[string]bool{}
				var changes []string
				for _, record := range watchNamed(r, "etcd.kv.put") {
					if key := watchChangeOf(record).key; record.Attrs["etcd.kv.origin"] == "resync" {
						told[key] = true
					} else {
						changes = append(changes, key)
					}
				}
				assert.Equal(t, want, slices.Sorted(maps.Keys(told)))
				assert.Equal(t, []string{"/before", "/stuck", "/at-the-compacted-revision", "/last"}, changes, "what etcd still has comes as changes")
				assert.Len(t, watchNamed(r, "etcd.watch.snapshot"), 1)
			})
		}
	})
}

// A range delete is one revision of any size.
func TestWatchDeliversAHugeRevisionInOrder(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		c := harness.Start(t, version, localcluster.Config{})
		client := newClient(t, c)
		keys := 20_000 // above 2 MiB, so that etcd cuts it
		if version == "3.4" {
			keys = 5_000 // cutting takes 3.4.23 half a minute, once: then it is asked not to
		}
		watchFill(t, client, keys, func(i int) string { return fmt.Sprintf("/many/%05d", i) })
		r := watchRun(t, watchYAML(c.Endpoints()), 1, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		answer, err := client.Delete(ctx, "/many/", clientv3.WithPrefix())
		require.NoError(t, err)
		require.EqualValues(t, keys, answer.Deleted)
		watchArrived(t, r, watchPut(t, client, "/last", ""), "/last")
		records := watchNamed(r, "etcd.kv.delete")
		require.Len(t, records, keys)
		for i, record := range records {
			require.EqualValues(t, i, record.Attrs["etcd.kv.sub_index"])
			require.Equal(t, answer.Header.Revision, record.Attrs["etcd.kv.mod_revision"])
			require.Equal(t, fmt.Sprintf("/many/%05d", i), record.Attrs["etcd.key"])
		}
	})
}
