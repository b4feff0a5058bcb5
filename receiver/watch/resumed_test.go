// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/etcdreceiver/etcdreceiver/internal/checkpoint"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
)

// Range answers with the one key that the fake store has, or with none.
func (f *fakeWatch) Range(_ context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	if r.Revision > 0 && r.Revision < f.compacted {
		return nil, status.Error(codes.OutOfRange, "etcdserver: mvcc: required revision has been compacted")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	answer := &pb.RangeResponse{Header: pbHeader(1, f.revision)}
	if f.stored != nil {
		answer.Kvs = append(answer.Kvs, f.stored)
	}
	return answer, nil
}

// ended is how a stream ends that nothing is wrong with.
func ended() *pb.WatchResponse {
	return &pb.WatchResponse{Canceled: true, Header: pbHeader(1, 6), CancelReason: "rpc error: code = Unavailable desc = etcdserver: no leader"}
}

// firstStream delivers key a at revision 6.
func firstStream() []*pb.WatchResponse {
	return []*pb.WatchResponse{{Header: pbHeader(1, 5), Created: true}, {Header: pbHeader(1, 6), Events: events(6, "a")}, ended()}
}

const (
	putA        = "put a rev 6 (1 B, version 1)"
	putB        = "put b rev 7 (1 B, version 1)"
	changedAt30 = "revisions 7.. missing: history_changed; the stream goes on at 31"
)

func TestAStreamRecognisesTheHistoryThatItGoesOnWith(t *testing.T) {
	other := events(6, "a")
	other[0].Kv.Value = []byte("another value")
	for name, tc := range map[string]struct {
		version string
		second  []*pb.WatchResponse
		want    []string
		starts  []int64 // of the second and the third stream
	}{
		"the same change": {"3.6.16", []*pb.WatchResponse{{Header: pbHeader(1, 30), Events: append(events(6, "a"), events(7, "b")...)}}, []string{putA, putB}, []int64{6}},
		"another value":   {"3.6.16", []*pb.WatchResponse{{Header: pbHeader(1, 30), Events: append(other, events(7, "b")...)}}, []string{putA, changedAt30}, []int64{6, 31}},
		"another key":     {"3.6.16", []*pb.WatchResponse{{Header: pbHeader(1, 30), Events: events(6, "x")}}, []string{putA, changedAt30}, []int64{6, 31}},
		"one more key":    {"3.6.16", []*pb.WatchResponse{{Header: pbHeader(1, 30), Events: events(6, "a", "x")}}, []string{putA, changedAt30}, []int64{6, 31}},
		"nothing there":   {"3.6.16", []*pb.WatchResponse{{Header: pbHeader(1, 30), Events: events(7, "b")}}, []string{putA, changedAt30}, []int64{6, 31}},
		// A server that forgets deletes is believed unless the revision is not the compacted one.
		"nothing there, old server": {"3.5.17", []*pb.WatchResponse{{Header: pbHeader(1, 30), Events: events(7, "b")}}, []string{putA, changedAt30}, []int64{6, 31}},
	} {
		t.Run(name, func(t *testing.T) {
			second := append([]*pb.WatchResponse{{Header: pbHeader(1, 30), Created: true}}, tc.second...)
			fake := &fakeWatch{version: tc.version, scripts: [][]*pb.WatchResponse{firstStream(), second, {{Header: pbHeader(1, 30), Created: true}}}}
			delivered := fake.run(t, 5*time.Millisecond)
			require.Eventually(t, func() bool { return len(delivered()) >= len(tc.want) && len(fake.asked()) > len(tc.starts) }, 10*time.Second, time.Millisecond)
			assert.Equal(t, tc.want, delivered())
			assert.Equal(t, append([]int64{0}, tc.starts...), fake.asked())
		})
	}
}

// The revision of the last delivered change is compacted, the position is not.
func TestWhereTheLastChangeIsCompactedTheStateOfItsKeyTells(t *testing.T) {
	a := func(change func(*mvccpb.KeyValue)) *mvccpb.KeyValue {
		kv := events(6, "a")[0].Kv
		change(kv)
		return kv
	}
	changed := []string{putA, changedAt30}
	for name, tc := range map[string]struct {
		stored *mvccpb.KeyValue
		want   []string
	}{
		"unchanged":                    {a(func(*mvccpb.KeyValue) {}), []string{putA}},
		"changed since":                {a(func(kv *mvccpb.KeyValue) { kv.ModRevision, kv.Version = 20, 2 }), []string{putA}},
		"deleted since":                {nil, []string{putA}},
		"another value then":           {a(func(kv *mvccpb.KeyValue) { kv.Value = []byte("w") }), changed},
		"a change before that one":     {a(func(kv *mvccpb.KeyValue) { kv.ModRevision = 4 }), changed},
		"another version of its value": {a(func(kv *mvccpb.KeyValue) { kv.Version = 2 }), changed},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &fakeWatch{version: "3.6.16", stored: tc.stored, revision: 30, scripts: [][]*pb.WatchResponse{
				firstStream(),
				{{Header: pbHeader(1, 30), Created: true}, {Header: pbHeader(1, 0), Canceled: true, CompactRevision: 7}},
				{{Header: pbHeader(1, 30), Created: true}},
			}}
			delivered := fake.run(t, 5*time.Millisecond)
			require.Eventually(t, func() bool { return len(fake.asked()) == 3 }, 10*time.Second, time.Millisecond)
			assert.Equal(t, tc.want, delivered())
			next := int64(7)
			if len(tc.want) > 1 {
				next = 31
			}
			assert.Equal(t, []int64{0, 6, next}, fake.asked())
		})
	}
}

// The checkpoint stores the fingerprint, and the first key that is not read yet.
func TestWhatIsRememberedHasNoNameThatIsExcluded(t *testing.T) {
	s := follow(t, Bounds{MaxRecords: 100, MaxBytes: 1 << 20, MaxDelay: time.Hour}, batches(&[][]int64{}))
	remembers := func(revision int64, key string, at int64, then ...*mvccpb.Event) {
		t.Helper()
		require.NoError(t, s.takeEvents(t, then))
		require.NoError(t, s.flush(context.Background()))
		assert.Equal(t, revision, s.print.Revision)
		assert.Equal(t, key, string(s.print.Key))
		if at > 0 {
			kv := events(at, key)[0].Kv
			ev := logrecord.Event{KV: keyValue(kv)}
			assert.Equal(t, checkpoint.Hex(ev.Identity()), s.print.Value)
		}
	}
	remembers(5, "", 0, events(5, "/skip/a")...)
	remembers(6, "a", 6, events(6, "a")...)
	remembers(7, "a", 6, events(7, "/skip/b")...)
	remembers(8, "b", 8, events(8, "/skip/c", "b", "/skip/d")...)
	s.pending = s.newBatch()
	remembers(9, "b", 8, events(9, "/skip/b")...)

	for key, want := range map[string]string{"a": "a", "/skip": "/skip", "/skip/a\x00": "/skip0"} {
		assert.Equal(t, want, string(s.past([]byte(key))))
	}
}

func TestRevisionsThatWentBackAreARestoreOnlyIfTheWholeClusterIsThere(t *testing.T) {
	for name, tc := range map[string]struct {
		linearizable int64
		want         []string
		next         int64
	}{
		"the member is behind": {6, []string{putA}, 6},
		"restored":             {4, []string{putA, "revisions 7.. missing: history_changed; the stream goes on at 5"}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &fakeWatch{version: "3.6.16", revision: tc.linearizable, scripts: [][]*pb.WatchResponse{
				firstStream(), {{Header: pbHeader(1, 4), Created: true}}, {{Header: pbHeader(1, 6), Created: true}},
			}}
			delivered := fake.run(t, 5*time.Millisecond)
			require.Eventually(t, func() bool { return len(fake.asked()) == 3 }, 10*time.Second, time.Millisecond)
			assert.Equal(t, tc.want, delivered())
			assert.Equal(t, []int64{0, 6, tc.next}, fake.asked())
		})
	}
}
