// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// backlog writes revisions as fast as it can, in a mixture of what a segment can
// meet: single puts, transactions, deletes, and a stretch in which the watched
// prefix has nothing. It gives the last revision.
func backlog(t *testing.T, client *clientv3.Client, revisions int) int64 {
	t.Helper()
	const writers = 64
	var group sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	next := make(chan int)
	for range writers {
		group.Go(func() {
			for i := range next {
				key := fmt.Sprintf("/watched/%d", i%500)
				var err error
				switch {
				case i > revisions/2 && i < revisions*3/4:
					_, err = client.Put(ctx, "/not-watched/"+key, "v")
				case i%97 == 0:
					_, err = client.Delete(ctx, key)
				case i%53 == 0:
					_, err = client.Txn(ctx).Then(clientv3.OpPut(key, "v"), clientv3.OpPut(key+"/b", "v"), clientv3.OpPut("/not-watched", "v")).Commit()
				default:
					_, err = client.Put(ctx, key, fmt.Sprint(i))
				}
				if err != nil {
					t.Errorf("write %d: %v", i, err)
					return
				}
			}
		})
	}
	for i := range revisions {
		next <- i
	}
	close(next)
	group.Wait()
	return watchPut(t, client, "/watched/end", "")
}

func TestWatchReadsABacklogBySegmentsWholeAndInOrder(t *testing.T) {
	for _, prefix := range []string{"", "/watched/"} {
		t.Run("prefix "+prefix, func(t *testing.T) {
			harness.EachVersion(t, func(t *testing.T, version string) {
				c := harness.Start(t, version, localcluster.Config{})
				client := newClient(t, c)
				last := backlog(t, client, 12_000)
				r := watchRun(t, watchYAML(c.Endpoints(), fmt.Sprintf("watch: {prefixes: [%q], start: revision, start_revision: 2}", prefix)), 1, nil)
				watchArrived(t, r, last, "/watched/end")

				var want []watchChange
				for response := range client.Watch(testContext(t), prefix, clientv3.WithPrefix(), clientv3.WithRev(2)) {
					require.NoError(t, response.Err())
					for _, ev := range response.Events {
						want = append(want, watchChange{ev.Kv.ModRevision, string(ev.Kv.Key)})
					}
					if want[len(want)-1].revision >= last {
						break
					}
				}
				assert.Equal(t, want, watchChanges(r))
				segments := r.Log.FilterMessage("reading a backlog by segments").Len()
				if version == "3.4" { // 3.4.23 announces progress ahead of events, which segments rely on
					assert.Zero(t, segments)
				} else {
					assert.NotZero(t, segments)
				}
			})
		})
	}
}
