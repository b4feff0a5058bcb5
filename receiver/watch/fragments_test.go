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

func TestFragmentsAreAskedForWhereEventsAreLarge(t *testing.T) {
	small, large := &response{data: make([]byte, 3<<20), events: 30_000, fragment: true}, &response{data: make([]byte, 5<<20), events: 50}
	f := &follower{fragment: true}
	assert.False(t, f.chooseFragments(large))
	assert.True(t, f.fragment)
	assert.True(t, f.chooseFragments(small), "the stream is opened again, without")
	assert.False(t, f.fragment)
	assert.False(t, f.chooseFragments(small))
	assert.False(t, f.chooseFragments(large), "the next stream has them")
	assert.True(t, f.fragment)
}
