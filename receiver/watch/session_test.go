// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.opentelemetry.io/collector/pdata/plog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
)

// fakeWatch plays streams that a real etcd does not show on demand: each stream
// sends its script and then stays open.
type fakeWatch struct {
	pb.UnimplementedWatchServer
	pb.UnimplementedMaintenanceServer
	pb.UnimplementedKVServer
	version  string // what Status says; "" denies it
	progress int64  // the answer to a request for progress; 0 gives none, once
	scripts  [][]*pb.WatchResponse
	// What streams without a script send, cut into fragments or whole.
	cut, whole []*pb.WatchResponse
	// settings changes the watcher before it runs.
	settings func(*Watcher)
	// What Range says: see resumed_test.go.
	stored              *mvccpb.KeyValue
	revision, compacted int64

	mu     sync.Mutex
	starts []int64 // the start revisions that were asked for
	frozen bool    // Status does not answer
	denied bool    // the user may not read
}

func (f *fakeWatch) Status(ctx context.Context, _ *pb.StatusRequest) (*pb.StatusResponse, error) {
	f.mu.Lock()
	frozen := f.frozen
	f.mu.Unlock()
	switch {
	case frozen:
		<-ctx.Done()
		return nil, ctx.Err()
	case f.version == "":
		return nil, status.Error(codes.PermissionDenied, "etcdserver: permission denied")
	}
	return &pb.StatusResponse{Header: pbHeader(1, 0), Version: f.version}, nil
}

func (f *fakeWatch) Watch(stream pb.Watch_WatchServer) error {
	request, err := stream.Recv()
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.starts = append(f.starts, request.GetCreateRequest().StartRevision)
	var script []*pb.WatchResponse
	if n := len(f.starts); n <= len(f.scripts) {
		script = f.scripts[n-1]
	} else if request.GetCreateRequest().Fragment {
		script = f.cut
	} else {
		script = f.whole
	}
	f.mu.Unlock()
	for _, r := range script {
		if err := stream.Send(r); err != nil {
			return err
		}
	}
	for {
		request, err := stream.Recv()
		if err != nil {
			return nil
		}
		if request.GetProgressRequest() == nil || f.progress == 0 {
			continue
		}
		if err := stream.Send(&pb.WatchResponse{Header: pbHeader(1, f.progress), WatchId: -1}); err != nil {
			return err
		}
		f.mu.Lock()
		first := len(f.starts) == 1
		f.mu.Unlock()
		if first { // the next stream shows where the position is
			return status.Error(codes.Unavailable, "etcdserver: no leader")
		}
	}
}

func pbHeader(cluster uint64, revision int64) *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: cluster, MemberId: 1, Revision: revision}
}

// watching runs a watcher against the scripts and gives what it delivers.
func watching(t *testing.T, maxDelay time.Duration, scripts ...[]*pb.WatchResponse) (fake *fakeWatch, delivered func() []string) {
	t.Helper()
	fake = &fakeWatch{scripts: scripts}
	return fake, fake.run(t, maxDelay)
}

func (fake *fakeWatch) run(t *testing.T, maxDelay time.Duration) (delivered func() []string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	pb.RegisterWatchServer(server, fake)
	pb.RegisterMaintenanceServer(server, fake)
	pb.RegisterKVServer(server, fake)
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()

	e, err := etcdclient.ParseEndpoint(listener.Addr().String())
	require.NoError(t, err)
	var mu sync.Mutex
	var bodies []string
	f := follow(t, Bounds{MaxRecords: 100, MaxBytes: 1 << 20, MaxDelay: maxDelay}, func(_ context.Context, logs plog.Logs) error {
		mu.Lock()
		defer mu.Unlock()
		for _, lr := range records(logs).All() {
			bodies = append(bodies, lr.Body().Str())
		}
		return nil
	})
	w := f.Watcher
	w.Prefixes = []string{""}
	w.Report = func(string, error) {}
	if fake.settings != nil {
		fake.settings(w)
	}
	w.Cluster = etcdclient.NewCluster(etcdclient.Settings{Endpoints: []etcdclient.Endpoint{e}, Timeout: 3 * time.Second}, false)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		require.NoError(t, w.Cluster.Close())
		server.Stop()
		<-served
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), bodies...)
	}
}

func TestAGapBeginsAfterWhatWasReadBeforeTheCompaction(t *testing.T) {
	// With this delay only what must be before the gap is delivered.
	fake, delivered := watching(t, time.Hour,
		[]*pb.WatchResponse{
			{Header: pbHeader(1, 5), Created: true},
			{Header: pbHeader(1, 6), Events: events(6, "a")},
			{Header: pbHeader(1, 7), Events: events(7, "b")},
			{Header: pbHeader(1, 0), Canceled: true, CompactRevision: 20},
		},
		[]*pb.WatchResponse{{Header: pbHeader(1, 30), Created: true}},
	)
	require.Eventually(t, func() bool { return len(fake.asked()) == 2 }, 10*time.Second, time.Millisecond)
	assert.Equal(t, []string{
		"put a rev 6 (1 B, version 1)", "put b rev 7 (1 B, version 1)",
		// 20, not 19: the fake tells no version, so it may be one that loses a delete there.
		"revisions 8..20 missing: compacted; the stream goes on at 20",
	}, delivered())
	assert.Equal(t, []int64{0, 20}, fake.asked())
}

func TestAnotherClusterIsAnnouncedAndFollowedFromItsPresent(t *testing.T) {
	fake, delivered := watching(t, 10*time.Millisecond,
		[]*pb.WatchResponse{
			{Header: pbHeader(1, 5), Created: true},
			{Header: pbHeader(1, 6), Events: events(6, "a")},
			{Canceled: true, Header: pbHeader(1, 6), CancelReason: "rpc error: code = Unavailable desc = etcdserver: no leader"},
		},
		[]*pb.WatchResponse{{Header: pbHeader(2, 100), Created: true}},
		[]*pb.WatchResponse{{Header: pbHeader(2, 100), Created: true}, {Header: pbHeader(2, 101), Events: events(101, "b")}},
	)
	require.Eventually(t, func() bool { return len(delivered()) == 3 }, 10*time.Second, time.Millisecond)
	assert.Equal(t, []string{"put a rev 6 (1 B, version 1)", "revisions 7.. missing: history_changed; the stream goes on at 101", "put b rev 101 (1 B, version 1)"}, delivered())
	assert.Equal(t, []int64{0, 6, 101}, fake.asked(), "a stream begins at the last delivered change, to recognise it")
}

func TestResponsesThatNoEtcdSendsEndTheStreamAndNothingElse(t *testing.T) {
	_, delivered := watching(t, 10*time.Millisecond,
		[]*pb.WatchResponse{{Header: pbHeader(1, 5), Events: events(5, "too early")}},
		[]*pb.WatchResponse{{Created: true}},
		[]*pb.WatchResponse{{Header: pbHeader(1, 5), Created: true}, {Header: pbHeader(1, 6), Events: events(6, "a")}},
	)
	require.Eventually(t, func() bool { return len(delivered()) == 1 }, 10*time.Second, time.Millisecond)
	assert.Equal(t, []string{"put a rev 6 (1 B, version 1)"}, delivered())
}

func (f *fakeWatch) asked() []int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]int64(nil), f.starts...)
}

func TestThePositionOfAQuietPrefixMovesWithTheProgressThatAnEtcdMayBeBelieved(t *testing.T) {
	for version, want := range map[string]int64{"3.6.16": 51, "3.5.7": 6, "": 6} {
		t.Run(version, func(t *testing.T) {
			fake := &fakeWatch{version: version, progress: 50, scripts: [][]*pb.WatchResponse{
				{{Header: pbHeader(1, 5), Created: true}}, {{Header: pbHeader(1, 50), Created: true}},
			}}
			delivered := fake.run(t, 10*time.Millisecond)
			require.Eventually(t, func() bool { return len(fake.asked()) >= 2 }, 10*time.Second, time.Millisecond)
			assert.Equal(t, []int64{0, want}, fake.asked()[:2])
			assert.Empty(t, delivered())
		})
	}
}

func TestAFrozenMemberEndsASilentStream(t *testing.T) {
	created := []*pb.WatchResponse{{Header: pbHeader(1, 5), Created: true}}
	fake := &fakeWatch{version: "3.6.16", scripts: [][]*pb.WatchResponse{created, created}}
	fake.run(t, 10*time.Millisecond)
	require.Eventually(t, func() bool { return len(fake.asked()) == 1 }, 10*time.Second, time.Millisecond)
	fake.mu.Lock()
	fake.frozen = true
	fake.mu.Unlock()
	require.Eventually(t, func() bool { return len(fake.asked()) >= 2 }, 10*time.Second, time.Millisecond)
}

func (f *fakeWatch) Txn(context.Context, *pb.TxnRequest) (*pb.TxnResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.denied {
		return nil, status.Error(codes.PermissionDenied, "etcdserver: permission denied")
	}
	return &pb.TxnResponse{}, nil
}

func TestAStreamEndsWhenItsUserMayNotReadAnyMore(t *testing.T) {
	created := []*pb.WatchResponse{{Header: pbHeader(1, 5), Created: true}}
	fake := &fakeWatch{version: "3.6.16", scripts: [][]*pb.WatchResponse{created, created}}
	fake.run(t, 10*time.Millisecond)
	require.Eventually(t, func() bool { return len(fake.asked()) == 1 }, 10*time.Second, time.Millisecond)
	time.Sleep(100 * time.Millisecond)
	require.Len(t, fake.asked(), 1, "it may read")
	fake.mu.Lock()
	fake.denied = true
	fake.mu.Unlock()
	require.Eventually(t, func() bool { return len(fake.asked()) >= 2 }, 10*time.Second, time.Millisecond)
}
