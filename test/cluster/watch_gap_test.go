// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// While the pipeline refuses, the member is killed: from then on nothing of the
// old stream can be on its way, so what is compacted away after that is missing
// for certain.
func TestWatchTellsAGapWithExactBoundsAfterACompaction(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		c := harness.Start(t, version, localcluster.Config{})
		client := newClient(t, c)
		var gate watchGate
		r := watchRun(t, watchYAML(c.Endpoints(), "watch: {on_compaction: skip}"), 1, gate.answer)
		watchArrived(t, r, watchPut(t, client, "/before", ""), "/before")
		stuck := gate.closeUntilRefused(t, client, "/stuck")

		require.NoError(t, c.Members()[0].Kill())
		require.NoError(t, c.Members()[0].Restart(testContext(t)))
		var want []watchChange
		var compacted int64
		for i := range 10 {
			key := fmt.Sprintf("/while-refused/%d", i)
			revision := watchPut(t, client, key, "")
			if i == 6 {
				compacted = revision
			}
			if i >= 6 {
				want = append(want, watchChange{revision, key})
			}
		}
		_, err := client.Compact(testContext(t), compacted, clientv3.WithCompactPhysical())
		require.NoError(t, err)
		gate.closed.Store(false)
		watchArrived(t, r, want[len(want)-1].revision, want[len(want)-1].key)

		lastMissing := compacted - 1
		if version == "3.4" {
			lastMissing = compacted // see below
		}
		gaps := watchNamed(r, "etcd.watch.gap")
		require.Len(t, gaps, 1)
		assert.Equal(t, map[string]any{
			"event.name": "etcd.watch.gap", "etcd.gap.source": "watch", "etcd.gap.reason": "compacted",
			"etcd.gap.from_revision": stuck + 1, "etcd.gap.to_revision": lastMissing, "etcd.gap.next_revision": compacted,
		}, gaps[0].Attrs)
		assert.Equal(t, fmt.Sprintf("revisions %d..%d missing: compacted; the stream goes on at %d", stuck+1, lastMissing, compacted), gaps[0].Body)
		changes := watchChanges(r)
		assert.Equal(t, watchChange{stuck, "/stuck"}, changes[1])
		assert.Equal(t, want, changes[2:], "it goes on at the compacted revision, which etcd still has")
		assert.EqualValues(t, 1, watchCounter(t, r, "receiver_etcd_watch_gaps", "reason", "compacted"))
	})
}

// A compaction at a delete: etcd 3.4 and before 3.5.18 forgets the delete too
// (pull request 18274), later ones keep it.
func TestWatchDeliversADeleteAtTheCompactedRevisionOrTellsThatItIsMissing(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		c := harness.Start(t, version, localcluster.Config{})
		client := newClient(t, c)
		var gate watchGate
		r := watchRun(t, watchYAML(c.Endpoints(), "watch: {on_compaction: skip}"), 1, gate.answer)
		watchArrived(t, r, watchPut(t, client, "/deleted", ""), "/deleted")
		gate.closeUntilRefused(t, client, "/stuck")
		require.NoError(t, c.Members()[0].Kill())
		require.NoError(t, c.Members()[0].Restart(testContext(t)))
		watchPut(t, client, "/lost", "")
		answer, err := client.Delete(testContext(t), "/deleted")
		require.NoError(t, err)
		deleted := answer.Header.Revision
		_, err = client.Compact(testContext(t), deleted, clientv3.WithCompactPhysical())
		require.NoError(t, err)
		gate.closed.Store(false)
		watchArrived(t, r, watchPut(t, client, "/last", ""), "/last")

		gaps := watchNamed(r, "etcd.watch.gap")
		require.Len(t, gaps, 1)
		missing := gaps[0].Attrs["etcd.gap.to_revision"].(int64) >= deleted
		arrived := slices.Contains(watchChanges(r), watchChange{deleted, "/deleted"})
		assert.Equal(t, version != "3.4", arrived, "the delete arrived")
		assert.Equal(t, version == "3.4", missing, "the delete is told as missing")
	})
}
