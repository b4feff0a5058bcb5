// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// The reference is clientv3's own watch of the same revisions.
func TestWatchDeliversEveryChangeOnceInOrderWithEveryField(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		c := harness.Start(t, version, localcluster.Config{})
		client := newClient(t, c)
		receivers := map[string]*harness.Receiver{}
		for _, policy := range []string{"none", "size", "hash", "text", "base64"} {
			receivers[policy] = watchRun(t, watchYAML(c.Endpoints(), "watch: {value: {policy: "+policy+"}}"), 1, nil)
		}
		receivers["size, no previous value"] = watchRun(t, watchYAML(c.Endpoints(), "watch: {prev_kv: false}"), 1, nil)

		first, last := watchWorkload(t, client)
		want := watchReference(t, client, first, last)
		uids := make([]any, len(want)) // by change, the same from every receiver
		for name, r := range receivers {
			waitFor(t, name+": the last change arrives", func() bool {
				got := watchRecords(r)
				return len(got) > 0 && got[len(got)-1].Attrs["etcd.kv.mod_revision"] == last
			})
			got := watchRecords(r)
			require.Len(t, got, len(want), name)
			for i, change := range want {
				uid := got[i].Attrs["log.record.uid"]
				if uids[i] == nil {
					assert.NotContains(t, uids, uid, "change %d", i)
					uids[i] = uid
				}
				assert.Equal(t, uids[i], uid, "policy %s, change %d", name, i)
				delete(got[i].Attrs, "log.record.uid")
				assert.Equal(t, change.attributes(name), got[i].Attrs, "policy %s, change %d", name, i)
				assert.Equal(t, change.name(), got[i].Name)
				assert.Contains(t, got[i].Body, watchKeyText(change.Kv.Key))
				assert.Equal(t, hexID(c.ID()), got[i].Resource["etcd.cluster.id"])
				assert.NotContains(t, got[i].Resource, "etcd.member.id", "changes belong to the cluster")
			}
			assert.EqualValues(t, len(want), watchCounter(t, r, "receiver_etcd_events_received", "source", "watch"), name)
		}
	})
}

// watchWorkload makes all kinds of changes, and gives the first and the last
// revision. The last one is made by etcd itself, when a lease expires.
func watchWorkload(t *testing.T, client *clientv3.Client) (first, last int64) {
	ctx := testContext(t)
	step := func(op clientv3.Op) int64 {
		t.Helper()
		answer, err := client.Do(ctx, op)
		require.NoError(t, err)
		switch {
		case answer.Put() != nil:
			return answer.Put().Header.Revision
		case answer.Del() != nil:
			return answer.Del().Header.Revision
		default:
			return answer.Txn().Header.Revision
		}
	}
	put, del := clientv3.OpPut, clientv3.OpDelete
	long, err := client.Grant(ctx, 3600)
	require.NoError(t, err)
	short, err := client.Grant(ctx, 1)
	require.NoError(t, err)

	first = step(put("/a", "one"))
	step(put("/a", "two"))                                 // an overwrite
	step(put("/a", ""))                                    // an empty value
	step(put("/leased", "x", clientv3.WithLease(long.ID))) // and below without a lease
	step(put("/leased", "y"))
	step(put("/short", "gone soon", clientv3.WithLease(short.ID)))
	step(put("/a", "", clientv3.WithIgnoreValue())) // a put all the same
	step(del("/a"))
	step(del("/absent")) // no change
	step(put("/a", "born again"))
	step(put("/bin\xff\x00/ü", "\x00\xfe\xff"))
	step(put("/bin\xff\x00/ü", "text now ü"))
	step(del("/bin\xff\x00/ü"))
	step(put("/long", fmt.Sprintf("%01999dü", 7))) // is cut in front of the last letter's end
	for i := range 5 {
		step(put(fmt.Sprintf("/range/%d", i), fmt.Sprint(i)))
	}
	step(del("/range/", clientv3.WithPrefix()))
	step(clientv3.OpTxn(nil, []clientv3.Op{put("/t/3", "c"), put("/t/1", "a"), del("/long"), put("/t/2", "b")}, nil))
	step(clientv3.OpTxn(nil, []clientv3.Op{put("/t/1", "aa"), del("/t/2"), put("/t/4", "d", clientv3.WithLease(long.ID))}, nil))
	step(clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpGet("/a")}, nil)) // no change
	_, err = client.Revoke(ctx, long.ID)                                // deletes /t/4
	require.NoError(t, err)

	waitFor(t, "the lease expires", func() bool {
		answer, err := client.Get(ctx, "/short")
		require.NoError(t, err)
		last = answer.Header.Revision
		return answer.Count == 0
	})
	return first, last
}

// watchExpected is a change as clientv3 tells it.
type watchExpected struct {
	*clientv3.Event
	subIndex int64
}

func watchReference(t *testing.T, client *clientv3.Client, first, last int64) []watchExpected {
	var out []watchExpected
	for answer := range client.Watch(testContext(t), "", clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithRev(first)) {
		require.NoError(t, answer.Err())
		for _, ev := range answer.Events {
			next := watchExpected{Event: ev}
			if n := len(out); n > 0 && out[n-1].Kv.ModRevision == ev.Kv.ModRevision {
				next.subIndex = out[n-1].subIndex + 1
			}
			out = append(out, next)
		}
		if out[len(out)-1].Kv.ModRevision >= last {
			return out
		}
	}
	require.FailNow(t, "the reference watch ended")
	return nil
}

func (e watchExpected) name() string {
	if e.Type == mvccpb.DELETE {
		return "etcd.kv.delete"
	}
	return "etcd.kv.put"
}

func (e watchExpected) attributes(policy string) map[string]any {
	attrs := map[string]any{
		"event.name": e.name(), "etcd.key": watchKeyText(e.Kv.Key),
		"etcd.kv.mod_revision": e.Kv.ModRevision, "etcd.kv.sub_index": e.subIndex,
	}
	prev := e.PrevKv
	if policy == "size, no previous value" {
		policy, prev = "size", nil
	}
	born := e.Kv // what create revision and lease are taken from
	if e.Type == mvccpb.DELETE {
		born = prev
	} else {
		attrs["etcd.kv.version"] = e.Kv.Version
		watchValue(attrs, policy, "etcd.kv.value", e.Kv.Value)
	}
	if born != nil {
		attrs["etcd.kv.create_revision"] = born.CreateRevision
		if born.Lease != 0 {
			attrs["etcd.lease.id"] = hexID(uint64(born.Lease))
		}
	}
	if prev != nil {
		attrs["etcd.kv.prev_mod_revision"] = prev.ModRevision
		watchValue(attrs, policy, "etcd.kv.prev_value", prev.Value)
	}
	return attrs
}

func watchValue(attrs map[string]any, policy, name string, value []byte) {
	if policy == "none" {
		return
	}
	attrs[name+"_size"] = int64(len(value))
	switch {
	case policy == "hash":
		sum := sha256.Sum256(value)
		attrs[name+"_hash"] = hex.EncodeToString(sum[:])
	case policy == "size":
	default:
		text := utf8.Valid(value) && policy == "text"
		if len(value) > 1024 { // the default of watch.value.max_bytes
			attrs[name+"_truncated"], value = true, value[:1024]
		}
		attrs[name] = string(value)
		if !text {
			attrs[name], attrs[name+"_encoding"] = base64.StdEncoding.EncodeToString(value), "base64"
		}
	}
}

// watchKeyText: the workload has one key that is not UTF-8.
func watchKeyText(key []byte) string {
	if string(key) == "/bin\xff\x00/ü" {
		return "/bin\\xff\x00/ü"
	}
	return string(key)
}

func TestWatchFollowsOnlyTheGivenPrefixesWithoutTheExcludedOnes(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		c := harness.Start(t, version, localcluster.Config{})
		client := newClient(t, c)
		r := watchRun(t, watchYAML(c.Endpoints(), "watch: {prefixes: [/a/, /b/], exclude: [/a/skip/, /b/skip/]}"), 2, nil)

		watchPut(t, client, "/a", "not below /a/")
		r1 := watchPut(t, client, "/a/1", "")
		watchPut(t, client, "/a/skip/1", "")
		watchPut(t, client, "/c/1", "")
		r2 := watchPuts(t, client, "/b/2", "/a/skip/2", "/a/2", "/c/2", "/a/3", "/b/skip/3", "/b/4")
		watchPut(t, client, "/b/skip/2", "")
		watchPut(t, client, "/a0", "behind /a/")
		r3 := watchPut(t, client, "/a/last", "")
		r4 := watchPut(t, client, "/b/last", "")
		watchArrived(t, r, r3, "/a/last")
		watchArrived(t, r, r4, "/b/last")

		var underA, underB []watchChange
		seen := map[watchChange]bool{}
		for _, change := range watchChanges(r) {
			assert.False(t, seen[change], "%v came twice", change)
			seen[change] = true
			if change.key[:3] == "/a/" {
				underA = append(underA, change)
			} else {
				underB = append(underB, change)
			}
		}
		assert.Equal(t, []watchChange{{r1, "/a/1"}, {r2, "/a/2"}, {r2, "/a/3"}, {r3, "/a/last"}}, underA)
		assert.Equal(t, []watchChange{{r2, "/b/2"}, {r2, "/b/4"}, {r4, "/b/last"}}, underB)
		assert.EqualValues(t, 4, watchCounter(t, r, "receiver_etcd_events_filtered", "", ""))
		assert.EqualValues(t, 11, watchCounter(t, r, "receiver_etcd_events_received", "source", "watch"))
	})
}

func TestWatchLeavesOutEventsThatAreSwitchedOff(t *testing.T) {
	c := harness.Start(t, "3.6", localcluster.Config{})
	client := newClient(t, c)
	r := watchRun(t, watchYAML(c.Endpoints(), "events: {etcd.kv.put: {enabled: false}}", "body: none"), 1, nil)
	watchPuts(t, client, "/a", "/b")
	answer, err := client.Delete(testContext(t), "/a")
	require.NoError(t, err)
	watchArrived(t, r, answer.Header.Revision, "/a")
	got := watchRecords(r)
	require.Len(t, got, 1)
	assert.Equal(t, "etcd.kv.delete", got[0].Name)
	assert.Empty(t, got[0].Body)
	assert.EqualValues(t, 2, watchCounter(t, r, "receiver_etcd_events_filtered", "", ""))
}
