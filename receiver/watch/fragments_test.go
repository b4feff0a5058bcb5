// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func (s *session) takeFragment(t *testing.T, more bool, events ...*mvccpb.Event) {
	t.Helper()
	r := wire(t, &pb.WatchResponse{Header: pbHeader(1, 100), Events: events, Fragment: more})
	require.NoError(t, s.take(context.Background(), r, &burst{}, noLimit))
}

func TestAFragmentNeverSplitsARevision(t *testing.T) {
	var got [][]int64
	s := follow(t, Bounds{MaxRecords: 2, MaxBytes: 1 << 20, MaxDelay: time.Hour}, batches(&got))
	ctx := context.Background()
	s.takeFragment(t, true, append(events(5, "a"), events(6, "a", "b")...)...)
	require.NoError(t, s.flush(ctx))
	require.NoError(t, s.flushDue(ctx))
	s.flushLast(ctx)
	assert.Empty(t, got, "revision 6 may go on")
	assert.Less(t, s.next, int64(6))
	s.takeFragment(t, true, events(6, "c")...)
	s.takeFragment(t, false, append(events(6, "d"), events(7, "a")...)...)
	require.NoError(t, s.flush(ctx))
	assert.Equal(t, [][]int64{{5, 6, 6, 6, 6}, {7}}, got)
	assert.EqualValues(t, 8, s.next)
}

func TestAHugeRevisionGoesOutInPartsAndThePositionMovesAfterTheLast(t *testing.T) {
	var got [][]int64
	s := follow(t, Bounds{MaxRecords: 2, MaxBytes: 1 << 20, MaxDelay: time.Hour}, batches(&got))
	var keys []string
	for i := range 10 {
		keys = append(keys, fmt.Sprint(i))
	}
	s.takeFragment(t, true, events(5, keys[:7]...)...)
	assert.Equal(t, [][]int64{{5, 5, 5, 5}}, got)
	assert.Less(t, s.next, int64(5))
	s.takeFragment(t, false, events(5, keys[7:]...)...)
	require.NoError(t, s.flush(context.Background()))
	assert.Equal(t, [][]int64{{5, 5, 5, 5}, {5, 5, 5, 5}, {5, 5}}, got)
	assert.EqualValues(t, 6, s.next)
	assert.EqualValues(t, 5, s.print.Revision)

	whole := follow(t, Bounds{MaxRecords: 100, MaxBytes: 1 << 20, MaxDelay: time.Hour}, batches(&[][]int64{}))
	whole.takeFragment(t, false, events(5, keys...)...)
	require.NoError(t, whole.flush(context.Background()))
	assert.Equal(t, whole.print, s.print, "the parts are recognised as the whole")
}

func TestFragmentsAreAskedForWhereAResponseDidNotFitAndItsEventsAreLarge(t *testing.T) {
	tooLarge := status.Error(codes.ResourceExhausted, "grpc: received message larger than max (50331649 vs. 50331648)")
	small, large := &response{size: 3 << 20, events: 30_000, fragment: true}, &response{size: 3 << 20, events: 30, fragment: true}
	f := &follower{}
	assert.False(t, f.tooLarge(status.Error(codes.ResourceExhausted, "etcdserver: too many requests")))
	assert.Equal(t, maxWhole, f.cutting.maxSize())
	assert.True(t, f.tooLarge(tooLarge))
	assert.Equal(t, cut, f.cutting)
	assert.False(t, f.tooDear(large))
	assert.True(t, f.tooDear(small), "the stream is opened again")
	assert.Equal(t, whole, f.cutting)
	assert.False(t, f.tooDear(small))
	assert.False(t, f.tooLarge(tooLarge), "there is no bound now")
}

// A response above the bound, from a real gRPC server.
func TestAResponseAboveTheBoundIsAskedForInFragments(t *testing.T) {
	large := events(6, "a")
	large[0].Kv.Value = make([]byte, maxWhole)
	created := &pb.WatchResponse{Header: pbHeader(1, 5), Created: true}
	fake := &fakeWatch{
		version: "3.6.16",
		whole:   []*pb.WatchResponse{created, {Header: pbHeader(1, 6), Events: large}},
		cut:     []*pb.WatchResponse{created, {Header: pbHeader(1, 6), Events: events(6, "a")}},
	}
	fake.settings = func(w *Watcher) { w.Heartbeat = time.Minute } // the machine may be busy with the large one
	delivered := fake.run(t, time.Millisecond)
	require.Eventually(t, func() bool { return len(delivered()) > 0 }, time.Minute, time.Millisecond)
	assert.Equal(t, []string{putA}, delivered())
}
