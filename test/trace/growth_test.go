// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// A function whose stack must grow first begins twice. Each request on a fresh
// connection is served by a goroutine with a fresh, small stack.
func TestARequestWhoseStackGrowsIsTracedOnce(t *testing.T) {
	const rounds, clients, each = 4, 250, 2
	for _, on := range []struct {
		build string
		perf  bool // as on kernels without uprobe_multi
	}{{"3.4", false}, {"3.5-go1.19", false}, {"3.6", false}, {"3.6", true}, {"3.7-pie", false}} {
		build, name := on.build, on.build
		if on.perf {
			name += " by perf"
		}
		t.Run(name, func(t *testing.T) {
			cluster := harness.Start(t, build, localcluster.Config{})
			traced := map[string]int{}
			tr := &tracing{each: func(lr plog.LogRecord) { traced[identify(lr)]++ }}
			settings := everything(pids(cluster)...)
			settings.PerfUprobes = on.perf
			tr.follow(t, cluster, settings, "")
			tr.awaitTraced(t, pids(cluster)...)

			for round := range rounds {
				var all sync.WaitGroup
				var open []*caller
				for client := range clients {
					c := call(t, cluster, cluster.Members()[0], nil)
					open = append(open, c)
					for n := range each {
						all.Go(func() {
							key := fmt.Appendf(nil, "/%d/%d/%d", round, client, n)
							_, err := pb.NewKVClient(c.ClientConn).Put(t.Context(), &pb.PutRequest{Key: key})
							assert.NoError(t, err)
						})
					}
				}
				all.Wait()
				for _, c := range open {
					assert.NoError(t, c.Close())
				}
			}
			tr.stop()
			assert.Len(t, traced, rounds*clients*each)
			for request, n := range traced {
				if n != 1 {
					t.Errorf("%s was traced %d times", request, n)
				}
			}
			assert.Empty(t, tr.Lost())
		})
	}
}
