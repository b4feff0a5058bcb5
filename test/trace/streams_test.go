// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// watching is a stream of watches of a client.
type watching struct {
	*caller
	stream pb.Watch_WatchClient
	end    context.CancelFunc
}

func watch(t *testing.T, cluster *localcluster.Cluster) *watching {
	t.Helper()
	w := &watching{caller: call(t, cluster, cluster.Members()[0], nil)}
	ctx, end := context.WithCancel(t.Context())
	t.Cleanup(end)
	stream, err := pb.NewWatchClient(w.ClientConn).Watch(ctx)
	require.NoError(t, err)
	w.stream, w.end = stream, end
	return w
}

// create opens a watch and gives its id.
func (w *watching) create(t *testing.T, q *pb.WatchCreateRequest) int64 {
	t.Helper()
	require.NoError(t, w.stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: q}}))
	return awaitWatch(t, w.stream, func(r *pb.WatchResponse) bool { return r.Created }).WatchId
}

// of are the records of a client by what they are of.
func (w *watching) of(tr *tracing) map[string][]record {
	all := map[string][]record{}
	for _, r := range tr.Records() {
		if r.port() == w.port {
			name := strings.TrimPrefix(r.text("db.operation.name"), "watch_")
			all[name] = append(all[name], r)
		}
	}
	return all
}

func TestTheEndOfAStreamOfWatchesIsTold(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *watching, *localcluster.Member){
		"that its client gives up": func(_ *testing.T, w *watching, _ *localcluster.Member) { w.end() },
		"with its connection":      func(t *testing.T, w *watching, _ *localcluster.Member) { require.NoError(t, w.Close()) },
		"with its etcd":            func(t *testing.T, _ *watching, m *localcluster.Member) { require.NoError(t, m.Stop()) },
	} {
		t.Run(name, func(t *testing.T) {
			cluster := harness.Start(t, "3.6", localcluster.Config{})
			tr := follow(t, cluster, everything(pids(cluster)...), "")
			tr.awaitTraced(t, pids(cluster)...)
			w, other := watch(t, cluster), watch(t, cluster)
			sent := time.Now()
			for range 3 {
				w.create(t, &pb.WatchCreateRequest{Key: []byte("/w")})
			}
			created := time.Now()
			other.create(t, &pb.WatchCreateRequest{Key: []byte("/other")})
			ended := time.Now()
			end(t, w, cluster.Members()[0])
			waitFor(t, "the end of the stream", func() bool { return len(w.of(tr)["close"]) > 0 })
			seen := time.Now()
			tr.stop()
			require.Len(t, w.of(tr)["create"], 3)
			require.Len(t, w.of(tr)["close"], 1)
			closed := w.of(tr)["close"][0]
			lasted := time.Duration(closed.attrs["etcd.request.duration"].(float64) * float64(time.Second))
			assert.Equal(t, "etcd.request.watch", closed.event)
			assert.Equal(t, "127.0.0.1", closed.text("client.address"))
			assert.Greater(t, lasted, ended.Sub(created)-clockTolerance)
			assert.Less(t, lasted, seen.Sub(sent))
			assert.WithinRange(t, closed.start, ended.Add(-clockTolerance), seen)
			t.Log(closed.body)
		})
	}
}

func TestAWatchThatEtcdEndsByItselfIsNotCanceledByItsClient(t *testing.T) {
	cluster := harness.Start(t, "3.6", localcluster.Config{})
	tr := follow(t, cluster, everything(pids(cluster)...), "")
	tr.awaitTraced(t, pids(cluster)...)
	w := watch(t, cluster)
	kv := pb.NewKVClient(w.ClientConn)
	var last int64
	for range 3 {
		r, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte("/w")})
		require.NoError(t, err)
		last = r.Header.Revision
	}
	_, err := kv.Compact(t.Context(), &pb.CompactionRequest{Revision: last})
	require.NoError(t, err)
	compacted := w.create(t, &pb.WatchCreateRequest{Key: []byte("/w"), StartRevision: 1})
	ended := awaitWatch(t, w.stream, func(r *pb.WatchResponse) bool { return r.Canceled })
	require.Equal(t, compacted, ended.WatchId)
	mine := w.create(t, &pb.WatchCreateRequest{Key: []byte("/w")})
	cancel := &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: mine}}
	require.NoError(t, w.stream.Send(&pb.WatchRequest{RequestUnion: cancel}))
	awaitWatch(t, w.stream, func(r *pb.WatchResponse) bool { return r.Canceled })
	w.end()
	waitFor(t, "the end of the stream", func() bool { return len(w.of(tr)["close"]) > 0 })
	tr.stop()
	canceled := w.of(tr)["cancel"]
	require.Len(t, canceled, 1)
	assert.Equal(t, mine, canceled[0].attrs["etcd.watch.id"])
}

func TestTheUserOfAWatchIsToldOnceItsStreamHasOne(t *testing.T) {
	cluster := harness.Start(t, "3.6", localcluster.Config{ExtraArgs: []string{"--bcrypt-cost=4"}})
	require.NoError(t, cluster.EnableAuth(t.Context(), rootPassword))
	tr := follow(t, cluster, everything(pids(cluster)...), rootPassword)
	tr.awaitTraced(t, pids(cluster)...)
	tr.awaitUsers(t, cluster)
	root := call(t, cluster, cluster.Members()[0], nil)
	root.is(t, "root", rootPassword)
	stream, err := pb.NewWatchClient(root.ClientConn).Watch(t.Context())
	require.NoError(t, err)
	w := &watching{caller: root, stream: stream}
	w.create(t, &pb.WatchCreateRequest{Key: []byte("/w")})
	id := w.create(t, &pb.WatchCreateRequest{Key: []byte("/w")})
	for range 2 {
		cancel := &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}
		require.NoError(t, stream.Send(&pb.WatchRequest{RequestUnion: cancel}))
	}
	waitFor(t, "both", func() bool { return len(w.of(tr)["cancel"]) == 2 })
	users := func(all []record) (names []string) {
		for _, r := range all {
			names = append(names, r.text("user.name"))
		}
		return names
	}
	assert.Equal(t, []string{"", "root"}, users(w.of(tr)["create"]))
	assert.Equal(t, []string{"root", "root"}, users(w.of(tr)["cancel"]))
}
