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
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/etcdreceiver/etcdreceiver/internal/delivery"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/redact"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// follow makes a session of a follower of cluster 1 whose batches go to deliver.
func follow(t testing.TB, bounds Bounds, deliver Deliver) *session {
	t.Helper()
	telemetry, err := metadata.NewTelemetryBuilder(componenttest.NewNopTelemetrySettings())
	require.NoError(t, err)
	w := &Watcher{
		Settings: Settings{Batch: bounds, Exclude: []string{"/skip/"}, Heartbeat: 20 * time.Millisecond, PermissionCheck: 20 * time.Millisecond, Stall: time.Minute},
		Format:   &logrecord.Format{Events: metadata.DefaultEventsConfig(), Body: true, Values: redact.Rules{Policy: redact.Size, Action: redact.Size}},
		Resource: &resource.Builder{}, Deliver: deliver, Telemetry: telemetry, Logger: zap.NewNop(),
	}
	f := w.newFollower("")
	f.identify(1)
	s := &session{follower: f, pending: f.newBatch(), version: "3.6.16"}
	s.streams, s.stop = context.WithCancel(context.Background())
	t.Cleanup(s.stop)
	return s
}

func events(revision int64, keys ...string) []*mvccpb.Event {
	var out []*mvccpb.Event
	for _, k := range keys {
		out = append(out, &mvccpb.Event{Kv: &mvccpb.KeyValue{Key: []byte(k), Value: []byte("v"), ModRevision: revision, CreateRevision: revision, Version: 1}})
	}
	return out
}

// wire makes what arrives of a response.
func wire(t testing.TB, r *pb.WatchResponse) *response {
	t.Helper()
	data, err := r.Marshal()
	require.NoError(t, err)
	out := &response{}
	require.NoError(t, out.decode(mem.BufferSlice{mem.SliceBuffer(data)}))
	return out
}

// takeEvents hands a response with these events over.
func (s *session) takeEvents(t testing.TB, events []*mvccpb.Event) error {
	return s.take(context.Background(), wire(t, &pb.WatchResponse{Header: pbHeader(1, 100), Events: events}), &burst{}, noLimit)
}

// records are those of a batch.
func records(logs plog.Logs) plog.LogRecordSlice {
	return logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
}

// batches collects what is delivered: the revisions of each batch.
func batches(out *[][]int64) Deliver {
	return func(_ context.Context, logs plog.Logs) error {
		var revisions []int64
		for _, lr := range records(logs).All() {
			r, _ := lr.Attributes().Get("etcd.kv.mod_revision")
			revisions = append(revisions, r.Int())
		}
		*out = append(*out, revisions)
		return nil
	}
}

func TestABatchNeverSplitsARevision(t *testing.T) {
	var got [][]int64
	f := follow(t, Bounds{MaxRecords: 3, MaxBytes: 1 << 20, MaxDelay: time.Hour}, batches(&got))
	ctx := context.Background()
	var response []*mvccpb.Event
	response = append(response, events(5, "a")...)
	response = append(response, events(6, "a", "b", "c", "d")...)
	response = append(response, events(7, "a")...)
	require.NoError(t, f.takeEvents(t, response))
	assert.EqualValues(t, 7, f.next, "revision 7 waits for more")
	require.NoError(t, f.flush(ctx))
	assert.EqualValues(t, 8, f.next)
	assert.Equal(t, [][]int64{{5, 6, 6, 6, 6}, {7}}, got)
}

func TestABatchIsClosedByBytesToo(t *testing.T) {
	var got [][]int64
	f := follow(t, Bounds{MaxRecords: 100, MaxBytes: 500, MaxDelay: time.Hour}, batches(&got))
	require.NoError(t, f.takeEvents(t, append(events(5, "a"), events(6, "b")...)))
	assert.Equal(t, [][]int64{{5, 6}}, got)
}

func TestThePositionStaysWhereThePipelineDidNotAccept(t *testing.T) {
	f := follow(t, Bounds{MaxRecords: 1, MaxBytes: 1 << 20, MaxDelay: time.Hour}, func(context.Context, plog.Logs) error { return context.Canceled })
	f.begins(context.Background(), 5)
	require.ErrorIs(t, f.takeEvents(t, events(5, "a")), context.Canceled)
	assert.EqualValues(t, 5, f.next)
}

func TestThePositionPassesWhatLeavesNoRecord(t *testing.T) {
	var got [][]int64
	f := follow(t, Bounds{MaxRecords: 1, MaxBytes: 1 << 20, MaxDelay: time.Hour}, batches(&got))
	require.NoError(t, f.takeEvents(t, events(5, "/skip/a")))
	require.NoError(t, f.flush(context.Background()))
	assert.EqualValues(t, 6, f.next)
	assert.Empty(t, got)
}

func TestSubIndexCountsWithinARevisionAlsoWhatIsExcluded(t *testing.T) {
	var got []int64
	f := follow(t, Bounds{MaxRecords: 100, MaxBytes: 1 << 20, MaxDelay: time.Hour}, func(_ context.Context, logs plog.Logs) error {
		for _, lr := range records(logs).All() {
			i, _ := lr.Attributes().Get("etcd.kv.sub_index")
			got = append(got, i.Int())
		}
		return nil
	})
	ctx := context.Background()
	require.NoError(t, f.takeEvents(t, append(events(5, "a", "/skip/b", "c"), events(6, "a")...)))
	require.NoError(t, f.takeEvents(t, events(7, "a", "b")))
	require.NoError(t, f.flush(ctx))
	assert.Equal(t, []int64{0, 2, 0, 0, 1}, got)
}

func TestEventsBelowThePositionAreNotRepeated(t *testing.T) {
	var got [][]int64
	f := follow(t, Bounds{MaxRecords: 100, MaxBytes: 1 << 20, MaxDelay: time.Hour}, batches(&got))
	f.begins(context.Background(), 6)
	require.NoError(t, f.takeEvents(t, append(events(5, "a"), events(6, "a")...)))
	require.NoError(t, f.flush(context.Background()))
	assert.Equal(t, [][]int64{{6}}, got)
}

func TestARefusalForGoodIsFollowedByAGapAndTheStreamGoesOn(t *testing.T) {
	var names []string
	f := follow(t, Bounds{MaxRecords: 2, MaxBytes: 1 << 20, MaxDelay: time.Hour}, func(_ context.Context, logs plog.Logs) error {
		lr := records(logs).At(0)
		names = append(names, lr.EventName()+" "+lr.Body().Str())
		if len(names) == 1 {
			return &delivery.RefusedError{Records: 2, Cause: fmt.Errorf("no")}
		}
		return nil
	})
	require.NoError(t, f.takeEvents(t, append(events(5, "a"), events(6, "b")...)))
	assert.EqualValues(t, 7, f.next)
	assert.Equal(t, []string{"etcd.kv.put put a rev 5 (1 B, version 1)", "etcd.watch.gap revisions 5..6 missing: refused; the stream goes on at 7"}, names)
}

func TestAGapThatThePipelineRefusesTooIsToldWhenItAcceptsAgain(t *testing.T) {
	var got []string
	open := false
	f := follow(t, Bounds{MaxRecords: 1, MaxBytes: 1 << 20, MaxDelay: time.Hour}, func(_ context.Context, logs plog.Logs) error {
		if !open {
			return &delivery.RefusedError{Records: logs.LogRecordCount(), Cause: fmt.Errorf("no")}
		}
		got = append(got, records(logs).At(0).Body().Str())
		return nil
	})
	require.NoError(t, f.takeEvents(t, append(events(5, "a"), events(6, "b")...)))
	assert.EqualValues(t, 7, f.next)
	open = true
	require.NoError(t, f.takeEvents(t, events(7, "c")))
	require.NoError(t, f.takeEvents(t, events(8, "d")))
	assert.Equal(t, []string{"revisions 5..6 missing: refused; the stream goes on at 7", "put c rev 7 (1 B, version 1)", "put d rev 8 (1 B, version 1)"}, got)
}

func TestWhatNoEtcdSendsIsAnErrorAndNoPanic(t *testing.T) {
	header := &pb.ResponseHeader{ClusterId: 1, Revision: 5}
	for name, tc := range map[string]struct {
		response *pb.WatchResponse
		created  bool
		want     string
	}{
		"good":                  {&pb.WatchResponse{Header: header, Events: events(5, "a")}, true, ""},
		"no header":             {&pb.WatchResponse{}, true, "no header"},
		"events before created": {&pb.WatchResponse{Header: header, Events: events(5, "a")}, false, "before the watch was created"},
		"an event without key":  {&pb.WatchResponse{Header: header, Events: []*mvccpb.Event{{}}}, true, "no key"},
		"revision 0":            {&pb.WatchResponse{Header: header, Events: events(0, "a")}, true, "no revision"},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := tc.response.Marshal()
			require.NoError(t, err)
			f := follow(t, Bounds{MaxRecords: 1}, nil)
			if !tc.created {
				f.clusterID = 0
			}
			r := &response{}
			if err = r.decode(mem.BufferSlice{mem.SliceBuffer(data)}); err == nil {
				err = f.check(r)
			}
			if tc.want == "" {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			assert.Contains(t, err.Error(), tc.want)
		})
	}
}

func TestTheReasonOfACancelledWatchBecomesAStatusAgain(t *testing.T) {
	for reason, want := range map[string]codes.Code{
		"rpc error: code = PermissionDenied desc = etcdserver: permission denied": codes.PermissionDenied,
		"rpc error: code = Unavailable desc = etcdserver: no leader":              codes.Unavailable,
		"etcdserver: mvcc: something":                                             codes.Unknown,
		"rpc error: code = Nonsense desc = x":                                     codes.Unknown,
		"":                                                                        codes.Unknown,
	} {
		t.Run(reason, func(t *testing.T) {
			err := cancelError(reason)
			assert.Equal(t, want, status.Code(err))
			assert.NotEmpty(t, status.Convert(err).Message())
		})
	}
}

func TestKeyRangeCoversAPrefix(t *testing.T) {
	for prefix, want := range map[string][2]string{
		"":        {"\x00", "\x00"},
		"/a/":     {"/a/", "/a0"},
		"a\xff":   {"a\xff", "b"},
		"\xff":    {"\xff", "\x00"},
		"/a/\x0f": {"/a/\x0f", "/a/\x10"},
	} {
		key, end := keyRange(prefix)
		assert.Equal(t, want, [2]string{string(key), string(end)})
	}
}

func BenchmarkTake(b *testing.B) {
	f := follow(b, Bounds{MaxRecords: 1024, MaxBytes: 1 << 30, MaxDelay: time.Hour}, func(context.Context, plog.Logs) error { return nil })
	f.Format.Values.Keys, _ = redact.Compile([]string{"^/registry/secrets/", "(?i)(password|passwd|secret|token|credential)"})
	const size = 1024
	var batch []*mvccpb.Event
	for i := range size {
		ev := events(int64(i+1), fmt.Sprintf("/config/service/%d/replicas", i))[0]
		ev.Kv.Value = make([]byte, 100)
		ev.PrevKv = &mvccpb.KeyValue{Key: ev.Kv.Key, Value: make([]byte, 100), ModRevision: 1, CreateRevision: 1, Version: 1}
		batch = append(batch, ev)
	}
	data := wire(b, &pb.WatchResponse{Header: pbHeader(1, size), Events: batch}).data
	b.ReportAllocs()
	for b.Loop() {
		f.next, f.pending.through, f.pending.revision = 1, 0, 0
		r := &response{}
		if err := r.decode(data); err != nil {
			b.Fatal(err)
		}
		if err := f.take(context.Background(), r, &burst{}, noLimit); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/size, "ns/event")
}
