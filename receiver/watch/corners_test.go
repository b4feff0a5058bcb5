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
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/delivery"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

func TestAStartInTheFutureIsWaitedForAndNoGap(t *testing.T) {
	fake := &fakeWatch{version: "3.6.16", revision: 500, scripts: [][]*pb.WatchResponse{
		{{Header: pbHeader(1, 500), Created: true}, ended()},
		{{Header: pbHeader(1, 500), Created: true}, {Header: pbHeader(1, 1000), Events: append(events(999, "early"), events(1000, "a")...)}},
	}, settings: func(w *Watcher) { w.Start, w.StartRevision = AtRevision, 1000 }}
	delivered := fake.run(t, time.Millisecond)
	require.Eventually(t, func() bool { return len(delivered()) > 0 }, 10*time.Second, time.Millisecond)
	assert.Equal(t, []string{"put a rev 1000 (1 B, version 1)"}, delivered())
	assert.Equal(t, []int64{1000, 1000}, fake.asked())
}

// A full response far from the tip, so that segments are opened.
func farBehind() []*pb.WatchResponse {
	var batch []*mvccpb.Event
	for r := int64(2); r < 2+batchRevisions; r++ {
		batch = append(batch, events(r, "a")...)
	}
	return []*pb.WatchResponse{{Header: pbHeader(1, 20_000), Created: true}, {Header: pbHeader(1, 20_000), Events: batch}}
}

func TestARefusedSegmentEndsTheSessionInsteadOfWaitingForEver(t *testing.T) {
	refused := []*pb.WatchResponse{{Header: pbHeader(1, 20_000), Created: true, Canceled: true, WatchId: -1, CancelReason: "rpc error: code = PermissionDenied desc = etcdserver: permission denied"}}
	fake := &fakeWatch{version: "3.6.16", scripts: [][]*pb.WatchResponse{farBehind()}}
	for range firstSegments {
		fake.scripts = append(fake.scripts, refused)
	}
	reports := make(chan error, 100)
	fake.settings = func(w *Watcher) {
		w.Start, w.StartRevision = AtRevision, 2
		w.Report = func(_ string, err error) { reports <- err }
	}
	fake.run(t, time.Hour)
	require.NoError(t, <-reports, "the first stream is well")
	select {
	case err := <-reports:
		require.ErrorContains(t, err, "permission denied")
	case <-time.After(10 * time.Second):
		t.Fatal("the stream waits for a refused segment")
	}
}

func TestACancelWithoutACreateIsAnErrorAndNoPanic(t *testing.T) {
	s := follow(t, Bounds{MaxRecords: 1}, nil)
	s.clusterID = 0
	for _, r := range []*pb.WatchResponse{
		{Header: pbHeader(1, 5), Canceled: true, CompactRevision: 9},
		{Header: pbHeader(1, -5), Created: true},
		{Header: pbHeader(1, 5), CompactRevision: -1},
	} {
		require.Error(t, s.check(wire(t, r)))
	}
}

// The pipeline takes long for every part, so the watch is given back to etcd in
// the middle of the revision: what was accepted of it is not offered again.
func TestAHugeRevisionThatASlowPipelineTakesInPartsArrivesOnce(t *testing.T) {
	var keys []string
	for i := range 20 {
		keys = append(keys, fmt.Sprintf("%02d", i))
	}
	huge := events(6, keys...)
	script := []*pb.WatchResponse{{Header: pbHeader(1, 6), Created: true}, {Header: pbHeader(1, 6), Events: huge[:12], Fragment: true}, {Header: pbHeader(1, 6), Events: huge[12:]}}
	var got []string
	done := make(chan struct{})
	fake := &fakeWatch{version: "3.6.16", scripts: [][]*pb.WatchResponse{script, script, script, script, script, script}}
	fake.settings = func(w *Watcher) {
		w.Start, w.StartRevision, w.Stall, w.Batch.MaxRecords = AtRevision, 6, 20*time.Millisecond, 2
		w.Deliver = func(_ context.Context, logs plog.Logs) error {
			time.Sleep(50 * time.Millisecond)
			for _, lr := range records(logs).All() {
				key, _ := lr.Attributes().Get("etcd.key")
				if got = append(got, key.Str()); len(got) == len(keys) {
					close(done)
				}
			}
			return nil
		}
	}
	fake.run(t, time.Millisecond)
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("no progress within the revision")
	}
	assert.Equal(t, keys, got)
	assert.Greater(t, len(fake.asked()), 1, "the watch was given back")
}

func TestWhereRefusalStopsTheStreamTheRefusedBatchIsOfferedOnce(t *testing.T) {
	offered := 0
	s := follow(t, Bounds{MaxRecords: 1, MaxBytes: 1 << 20, MaxDelay: time.Hour}, func(context.Context, plog.Logs) error {
		offered++
		return &delivery.RefusedError{Records: 1, Cause: fmt.Errorf("no")}
	})
	s.StopWhenRefused = true
	s.begins(t.Context(), 5)
	require.ErrorIs(t, s.takeEvents(t, events(5, "a")), ErrStopped)
	s.flushLast(t.Context())
	assert.Equal(t, 1, offered)
	assert.EqualValues(t, 5, s.next)
}

func TestWhatIsNotKnownOfOneOwedGapIsNotKnownOfTwo(t *testing.T) {
	const compacted, refused, lost = metadata.AttributeEtcdGapReasonCompacted, metadata.AttributeEtcdGapReasonRefused, metadata.AttributeEtcdGapReasonCheckpointLost
	for name, tc := range map[string]struct{ first, second, want logrecord.Gap }{
		"counts are added up": {
			logrecord.Gap{From: 5, To: 6, Next: 7, Count: 2, Reason: refused},
			logrecord.Gap{From: 7, To: 9, Next: 10, Count: 3, Reason: refused},
			logrecord.Gap{From: 5, To: 9, Next: 10, Count: 5, Reason: refused},
		},
		"the first has no count": {
			logrecord.Gap{From: 5, To: 6, Next: 7, Reason: compacted},
			logrecord.Gap{From: 7, To: 9, Next: 10, Count: 3, Reason: refused},
			logrecord.Gap{From: 5, To: 9, Next: 10, Reason: compacted},
		},
		"the second has no count": {
			logrecord.Gap{From: 5, To: 6, Next: 7, Count: 2, Reason: refused},
			logrecord.Gap{From: 7, To: 9, Next: 10, Reason: compacted},
			logrecord.Gap{From: 5, To: 9, Next: 10, Reason: refused},
		},
		"the first has no beginning": {
			logrecord.Gap{To: 6, Next: 7, Reason: lost},
			logrecord.Gap{From: 7, To: 9, Next: 10, Count: 3, Reason: refused},
			logrecord.Gap{To: 9, Next: 10, Reason: lost},
		},
		"the first is of existing keys, which have no revisions": {
			logrecord.Gap{Count: 2, Reason: refused},
			logrecord.Gap{From: 7, To: 9, Next: 10, Count: 3, Reason: refused},
			logrecord.Gap{From: 7, To: 9, Next: 10, Count: 5, Reason: refused},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := &follower{}
			f.owe(tc.first)
			f.owe(tc.second)
			assert.Equal(t, tc.want, *f.owed)
		})
	}
}

func TestAGapThatThePipelineRefusesIsOfferedOnceWhereRefusalStopsTheStream(t *testing.T) {
	offered := 0
	s := follow(t, Bounds{MaxRecords: 10, MaxBytes: 1 << 20, MaxDelay: time.Hour}, func(context.Context, plog.Logs) error {
		offered++
		return &delivery.RefusedError{Records: 1, Cause: fmt.Errorf("no")}
	})
	s.StopWhenRefused = true
	s.begins(t.Context(), 5)
	s.owe(logrecord.Gap{From: 1, To: 4, Next: 5})
	require.NoError(t, s.takeEvents(t, events(5, "a")))
	require.ErrorIs(t, s.flush(t.Context()), ErrStopped)
	s.flushLast(t.Context())
	assert.Equal(t, 1, offered)
	assert.NotNil(t, s.owed, "the next run tells it")
	assert.EqualValues(t, 5, s.next)
}
