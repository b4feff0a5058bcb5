// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/receiver/trace"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// identify is a request by what it asks for: each of these tests has a key of its
// own.
func identify(lr plog.LogRecord) string { return identity(lr.EventName(), lr.Attributes().AsRaw()) }

func identity(event string, attrs map[string]any) string {
	if attrs["etcd.request.incomplete"] != nil {
		return "something that was not read as a whole"
	}
	key := attrs["etcd.key"]
	if keys, _ := attrs["etcd.txn.keys"].([]any); len(keys) > 0 {
		key = keys[0]
	}
	if key == nil {
		return event
	}
	return fmt.Sprint(attrs["db.operation.name"], " ", key)
}

// mixed is the n-th request of a client, and how it will be identified.
func mixed(t *testing.T, c *caller, client, n int) string {
	key := fmt.Sprintf("/all/%d/%d", client, n)
	kv, ctx := pb.NewKVClient(c.ClientConn), t.Context()
	var err error
	var operation string
	switch n % 5 {
	case 0:
		operation = "put"
		_, err = kv.Put(ctx, &pb.PutRequest{Key: []byte(key), Value: []byte("value")})
	case 1:
		operation = "range"
		_, err = kv.Range(ctx, &pb.RangeRequest{Key: []byte(key)})
	case 2:
		operation = "range"
		_, err = kv.Range(ctx, &pb.RangeRequest{Key: []byte(key), RangeEnd: []byte(key + "0"), Serializable: true})
	case 3:
		operation = "txn"
		_, err = kv.Txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{put(key, "one"), get(key, ""), del("/nothing", "")}})
	case 4:
		operation = "delete_range"
		_, err = kv.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: []byte(key)})
	}
	assert.NoError(t, err)
	return operation + " " + key
}

func TestEachOfAHundredThousandRequestsIsTracedOnce(t *testing.T) {
	const clients, each = 64, 1563
	cluster := harness.Start(t, "3.6", localcluster.Config{})
	traced := map[string]int{}
	tr := &tracing{each: func(lr plog.LogRecord) { traced[identify(lr)]++ }}
	tr.follow(t, cluster, everything(pids(cluster)...), "")
	tr.awaitTraced(t, pids(cluster)...)

	asked := make([][]string, clients)
	var all sync.WaitGroup
	for client := range clients {
		c := call(t, cluster, cluster.Members()[0], nil)
		all.Go(func() {
			for n := range each {
				asked[client] = append(asked[client], mixed(t, c, client, n))
			}
		})
	}
	began := time.Now()
	all.Wait()
	t.Logf("%d requests in %s", clients*each, time.Since(began).Round(time.Millisecond))
	tr.stop()

	for _, of := range asked {
		for _, request := range of {
			traced[request]--
		}
	}
	for request, n := range traced {
		if n != 0 {
			t.Errorf("%s: %+d", request, n)
		}
	}
	assert.Empty(t, tr.Lost())
}

func TestWhatTheRingHasNoRoomForIsCountedExactly(t *testing.T) {
	t.Run("ring", func(t *testing.T) { overflow(t, everything()) })
	t.Run("perf buffer", func(t *testing.T) {
		settings := everything()
		settings.PerfUprobes, settings.PerfBuffer = true, true
		overflow(t, settings)
	})
}

func overflow(t *testing.T, settings trace.Settings) {
	t.Helper()
	const clients, each = 8, 500
	cluster := harness.Start(t, "3.6", localcluster.Config{})
	settings.PIDs, settings.RingBytes = pids(cluster), 64<<10
	settings.Network = false // a connection that is lost is none of these requests
	var traced, lost, gaps int64
	held, release := make(chan struct{}), make(chan struct{})
	tr := &tracing{
		each: func(lr plog.LogRecord) {
			if lr.EventName() != "etcd.watch.gap" {
				traced++
				return
			}
			source, _ := lr.Attributes().Get("etcd.gap.source")
			assert.Equal(t, "ebpf", source.Str())
			n, _ := lr.Attributes().Get("etcd.gap.count")
			gaps, lost = gaps+1, lost+n.Int()
		},
	}
	hold := sync.OnceFunc(func() { close(held); <-release })
	tr.told = func(int) { hold() } // the ring is not read meanwhile
	tr.follow(t, cluster, settings, "")
	<-held

	var all sync.WaitGroup
	for client := range clients {
		c := call(t, cluster, cluster.Members()[0], nil)
		all.Go(func() {
			for n := range each {
				_, err := pb.NewKVClient(c.ClientConn).Put(t.Context(), &pb.PutRequest{Key: fmt.Appendf(nil, "/%d/%d", client, n)})
				assert.NoError(t, err)
			}
		})
	}
	all.Wait()
	close(release)
	waitFor(t, "the loss", func() bool { return len(tr.Lost()) > 0 })
	tr.stop()
	t.Logf("%d of %d traced, %d lost", traced, clients*each, lost)
	assert.EqualValues(t, clients*each, traced+lost)
	assert.Equal(t, map[string]int64{trace.LostRing: lost}, tr.Lost())
	assert.Greater(t, traced, int64(100), "the ring has room for more than a hundred")
	assert.EqualValues(t, 1, gaps)
}
