// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/etcdreceiver/etcdreceiver/test/kernels/guest"
)

// script asks for everything that there is, on one connection, one request after
// the other. What etcd answers is not judged: the record must say the same.
type script struct {
	*caller
	t    *testing.T
	ctx  context.Context
	self uint64 // the member
	rev  int64  // a revision that there was
}

func (s *script) run() {
	s.keys()
	s.transactions()
	s.compactions()
	s.leases()
	s.watches()
	s.streams()
	s.users()
	s.members()
	s.maintenance()
	s.locks()
	s.elections()
	_, _ = healthpb.NewHealthClient(s.ClientConn).Check(s.ctx, &healthpb.HealthCheckRequest{})
}

var (
	binaryKey = []byte{0xff, 0, 'a', 0x80, '\n'}
	longKey   = []byte("/long/" + strings.Repeat("0123456789", 40))
)

func (s *script) keys() {
	kv := pb.NewKVClient(s.ClientConn)
	for _, key := range [][]byte{[]byte("/a"), binaryKey, longKey, longKey[:256], longKey[:257], longKey[:32], longKey[:33], []byte("/ü/\x00")} {
		r, err := kv.Put(s.ctx, &pb.PutRequest{Key: key, Value: []byte("value")})
		require.NoError(s.t, err)
		s.rev = r.Header.Revision
	}
	for _, put := range []*pb.PutRequest{
		{Key: []byte("/a")},
		{Key: []byte("/a"), Value: []byte("x"), PrevKv: true},
		{Key: []byte("/absent"), IgnoreValue: true},
		{Key: []byte("/a"), Lease: 0x7777},
		{Value: []byte("no key")},
		{Key: []byte("/large"), Value: make([]byte, 1600<<10)},
	} {
		_, _ = kv.Put(s.ctx, put)
	}
	_, err := kv.Put(etcdSays(s.ctx, unseen), &pb.PutRequest{Key: []byte("/larger"), Value: make([]byte, 3<<20)})
	require.ErrorContains(s.t, err, "larger than max")

	all := []byte{0}
	for _, get := range []*pb.RangeRequest{
		{Key: []byte("/a")},
		{Key: []byte("/absent"), Serializable: true},
		{Key: []byte("/long/"), RangeEnd: []byte("/long0"), KeysOnly: true},
		{Key: all, RangeEnd: all, Limit: 1},
		{Key: longKey, RangeEnd: append(bytes.Clone(longKey), 0), CountOnly: true},
		{Key: binaryKey, RangeEnd: all},
		{Key: []byte("/a"), Revision: s.rev},
		{Key: []byte("/a"), Revision: 1 << 40},
		{},
		{Key: []byte("/a"), SortOrder: 99},
	} {
		_, _ = kv.Range(s.ctx, get)
	}
	for _, del := range []*pb.DeleteRangeRequest{
		{Key: longKey[:32]},
		{Key: []byte("/absent")},
		{Key: []byte("/long/"), RangeEnd: []byte("/long0"), PrevKv: true},
		{},
	} {
		_, _ = kv.DeleteRange(s.ctx, del)
	}
}

func put(key, value string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), Value: []byte(value)}}}
}

func get(key, end string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte(key), RangeEnd: []byte(end)}}}
}

func del(key, end string) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(end)}}}
}

func (s *script) transactions() {
	kv := pb.NewKVClient(s.ClientConn)
	never := &pb.Compare{Target: pb.Compare_VERSION, Key: []byte("/a"), TargetUnion: &pb.Compare_Version{Version: 1 << 40}}
	inner := &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Success: []*pb.RequestOp{put("/inner", "1")}}}}
	var many []*pb.RequestOp
	for i := range 128 {
		many = append(many, put(fmt.Sprintf("/many/%d", i), strings.Repeat("v", i)))
	}
	for _, txn := range []*pb.TxnRequest{
		{Success: []*pb.RequestOp{put("/t/1", "one"), get("/t/", "/t0"), del("/t/2", ""), put("/t/3", ""), del("/u/", "/u0"), get("/a", "")}, Failure: []*pb.RequestOp{put("/wrong", "")}},
		{Compare: []*pb.Compare{never}, Success: []*pb.RequestOp{put("/wrong", "")}, Failure: []*pb.RequestOp{get("/t/1", ""), put("/t/1", "other")}},
		{Compare: []*pb.Compare{never}, Success: []*pb.RequestOp{put("/wrong", "")}},
		{Success: []*pb.RequestOp{put("/outer", ""), inner, get("/a", "/b")}},
		{Success: []*pb.RequestOp{put(string(longKey), "long"), put(string(binaryKey), "binary")}},
		{Success: many},
		{Success: append(many[:128:128], put("/one-too-many", ""))},
		{Success: []*pb.RequestOp{put("/twice", ""), put("/twice", "")}},
		{Success: []*pb.RequestOp{put("", "no key")}},
		{},
	} {
		_, _ = kv.Txn(s.ctx, txn)
	}
}

func (s *script) compactions() {
	kv := pb.NewKVClient(s.ClientConn)
	for _, revision := range []int64{s.rev, s.rev, 1 << 40} {
		_, _ = kv.Compact(s.ctx, &pb.CompactionRequest{Revision: revision, Physical: true})
	}
	_, _ = kv.Range(s.ctx, &pb.RangeRequest{Key: []byte("/a"), Revision: 1})
}

func (s *script) leases() {
	lease := pb.NewLeaseClient(s.ClientConn)
	granted, err := lease.LeaseGrant(s.ctx, &pb.LeaseGrantRequest{TTL: 600})
	require.NoError(s.t, err)
	for _, grant := range []*pb.LeaseGrantRequest{{TTL: 700, ID: 4711}, {TTL: 700, ID: 4711}, {TTL: 1 << 60}, {}} {
		_, _ = lease.LeaseGrant(s.ctx, grant)
	}
	_, err = pb.NewKVClient(s.ClientConn).Put(s.ctx, &pb.PutRequest{Key: []byte("/leased"), Value: []byte("v"), Lease: granted.ID})
	require.NoError(s.t, err)

	alive, err := lease.LeaseKeepAlive(s.ctx)
	require.NoError(s.t, err)
	for _, id := range []int64{granted.ID, 4711, 999} { // 999: there is no such lease
		sent := time.Now()
		require.NoError(s.t, alive.Send(&pb.LeaseKeepAliveRequest{ID: id}))
		_, err = alive.Recv()
		require.NoError(s.t, err)
		s.streamed("lease", "lease_keep_alive", "etcdserverpb.Lease/LeaseKeepAlive", sent, map[string]any{"etcd.lease.id": fmt.Sprintf("%016x", id)})
	}
	require.NoError(s.t, alive.CloseSend())

	for _, id := range []int64{granted.ID, 999} {
		_, _ = lease.LeaseTimeToLive(s.ctx, &pb.LeaseTimeToLiveRequest{ID: id, Keys: true})
	}
	_, _ = lease.LeaseLeases(s.ctx, &pb.LeaseLeasesRequest{})
	for _, id := range []int64{granted.ID, granted.ID, 4711} {
		_, _ = lease.LeaseRevoke(s.ctx, &pb.LeaseRevokeRequest{ID: id})
	}
}

const watchMethod = "etcdserverpb.Watch/Watch"

// watches is a stream of watches, one of which is canceled before all are.
func (s *script) watches() {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	stream, err := pb.NewWatchClient(s.ClientConn).Watch(ctx)
	require.NoError(s.t, err)
	var ids []int64
	for _, w := range []*pb.WatchCreateRequest{
		{Key: []byte("/w")},
		{Key: []byte("/w/"), RangeEnd: []byte("/w0"), StartRevision: s.rev + 1},
		{Key: longKey, RangeEnd: []byte{0}},
		{Key: binaryKey, StartRevision: 1 << 40},
	} {
		sent := time.Now()
		require.NoError(s.t, stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: w}}))
		created := awaitWatch(s.t, stream, func(r *pb.WatchResponse) bool { return r.Created })
		ids = append(ids, created.WatchId)
		attrs := keyAttrs(w.Key, w.RangeEnd)
		if w.StartRevision > 0 {
			attrs["etcd.request.revision"] = w.StartRevision
		}
		s.streamed("watch", "watch_create", watchMethod, sent, attrs)
	}

	sent := time.Now()
	for _, id := range []int64{4711, ids[1]} { // there is no 4711, and etcd does not answer
		cancel := &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}
		require.NoError(s.t, stream.Send(&pb.WatchRequest{RequestUnion: cancel}))
	}
	awaitWatch(s.t, stream, func(r *pb.WatchResponse) bool { return r.Canceled })
	for _, id := range []int64{4711, ids[1]} {
		s.streamed("watch", "watch_cancel", watchMethod, sent, map[string]any{"etcd.watch.id": id})
	}

	closed := &asked{event: "etcd.request.watch", sent: time.Now(), got: time.Now().Add(patience), attrs: s.common(watchMethod)}
	closed.unary, closed.attrs["db.operation.name"] = true, "watch_close" // it has a duration too: of the stream
	s.book.note(closed)
}

func awaitWatch(t *testing.T, stream pb.Watch_WatchClient, is func(*pb.WatchResponse) bool) *pb.WatchResponse {
	t.Helper()
	for {
		r, err := stream.Recv()
		require.NoError(t, err)
		if is(r) {
			return r
		}
	}
}

// streams are the other ones.
func (s *script) streams() {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	sent := time.Now()
	snapshot, err := pb.NewMaintenanceClient(s.ClientConn).Snapshot(ctx, &pb.SnapshotRequest{})
	require.NoError(s.t, err)
	for err == nil {
		_, err = snapshot.Recv()
	}
	s.streamed("maintenance", "snapshot", "etcdserverpb.Maintenance/Snapshot", sent, nil)
	s.rangeStream(ctx)
}

// rangeStream is new in 3.7, whose stubs are not those of these tests.
func (s *script) rangeStream(ctx context.Context) {
	const method = "etcdserverpb.KV/RangeStream"
	q := &pb.RangeRequest{Key: []byte("/many/"), RangeEnd: []byte("/many0"), Revision: s.rev + 30}
	sent := time.Now()
	stream, err := s.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/"+method)
	require.NoError(s.t, err)
	require.NoError(s.t, stream.SendMsg(q))
	require.NoError(s.t, stream.CloseSend())
	for err == nil {
		err = stream.RecvMsg(&emptypb.Empty{})
	}
	if strings.Contains(err.Error(), "unknown method") {
		return
	}
	attrs := keyAttrs(q.Key, q.RangeEnd)
	attrs["etcd.request.revision"] = q.Revision
	s.streamed("get", "range_stream", method, sent, attrs)
}

func (s *script) users() {
	auth := pb.NewAuthClient(s.ClientConn)
	for range 2 { // the second time it is there already
		_, _ = auth.UserAdd(s.ctx, &pb.AuthUserAddRequest{Name: "somebody", Password: "secret"})
		_, _ = auth.RoleAdd(s.ctx, &pb.AuthRoleAddRequest{Name: "reader"})
	}
	_, _ = auth.UserAdd(s.ctx, &pb.AuthUserAddRequest{Password: "secret"})
	allowed := &authpb.Permission{PermType: authpb.READ, Key: []byte("/a")}
	for _, name := range []string{"reader", "nothing"} {
		_, _ = auth.RoleGrantPermission(s.ctx, &pb.AuthRoleGrantPermissionRequest{Name: name, Perm: allowed})
		_, _ = auth.UserGrantRole(s.ctx, &pb.AuthUserGrantRoleRequest{User: "somebody", Role: name})
		_, _ = auth.RoleGet(s.ctx, &pb.AuthRoleGetRequest{Role: name})
	}
	_, _ = auth.UserGet(s.ctx, &pb.AuthUserGetRequest{Name: "somebody"})
	_, _ = auth.UserGet(s.ctx, &pb.AuthUserGetRequest{Name: "nobody"})
	_, _ = auth.UserList(s.ctx, &pb.AuthUserListRequest{})
	_, _ = auth.RoleList(s.ctx, &pb.AuthRoleListRequest{})
	_, _ = auth.UserChangePassword(s.ctx, &pb.AuthUserChangePasswordRequest{Name: "somebody", Password: "other"})
	_, _ = auth.AuthStatus(s.ctx, &pb.AuthStatusRequest{})
	_, _ = auth.Authenticate(s.ctx, &pb.AuthenticateRequest{Name: "somebody", Password: "other"})
	_, _ = auth.RoleRevokePermission(s.ctx, &pb.AuthRoleRevokePermissionRequest{Role: "reader", Key: []byte("/a")})
	_, _ = auth.UserRevokeRole(s.ctx, &pb.AuthUserRevokeRoleRequest{Name: "somebody", Role: "reader"})
	_, _ = auth.RoleDelete(s.ctx, &pb.AuthRoleDeleteRequest{Role: "reader"})
	_, _ = auth.UserDelete(s.ctx, &pb.AuthUserDeleteRequest{Name: "somebody"})
	_, _ = auth.UserDelete(s.ctx, &pb.AuthUserDeleteRequest{Name: "somebody"})
}

func (s *script) members() {
	cluster := pb.NewClusterClient(s.ClientConn)
	_, _ = cluster.MemberList(s.ctx, &pb.MemberListRequest{})
	added, err := cluster.MemberAdd(s.ctx, &pb.MemberAddRequest{PeerURLs: []string{"http://127.0.0.1:9"}, IsLearner: true})
	require.NoError(s.t, err)
	learner := added.Member.ID
	s.settled()
	_, _ = cluster.MemberAdd(s.ctx, &pb.MemberAddRequest{PeerURLs: []string{"http://127.0.0.1:9"}})
	s.settled()
	_, _ = cluster.MemberPromote(s.ctx, &pb.MemberPromoteRequest{ID: learner})
	_, _ = cluster.MemberUpdate(s.ctx, &pb.MemberUpdateRequest{ID: learner, PeerURLs: []string{"http://127.0.0.1:19"}})
	s.settled()
	_, _ = cluster.MemberRemove(s.ctx, &pb.MemberRemoveRequest{ID: learner})
	s.settled()
	_, _ = cluster.MemberRemove(s.ctx, &pb.MemberRemoveRequest{ID: 12345})
}

// settled writes: raft drops a change of members, and etcd never answers, while the
// change before has been told, or refused, but not been put away.
func (s *script) settled() {
	_, err := pb.NewKVClient(s.ClientConn).Put(s.ctx, &pb.PutRequest{Key: []byte("/settled")})
	require.NoError(s.t, err)
}

func (s *script) maintenance() {
	m := pb.NewMaintenanceClient(s.ClientConn)
	_, _ = m.Status(s.ctx, &pb.StatusRequest{})
	_, _ = m.Hash(s.ctx, &pb.HashRequest{})
	for _, revision := range []int64{0, s.rev + 1, 1, 1 << 40} {
		_, _ = m.HashKV(s.ctx, &pb.HashKVRequest{Revision: revision})
	}
	_, _ = m.Defragment(s.ctx, &pb.DefragmentRequest{})
	for _, target := range []uint64{s.self, 12345} {
		_, _ = m.MoveLeader(s.ctx, &pb.MoveLeaderRequest{TargetID: target})
	}
	for _, d := range []*pb.DowngradeRequest{{Version: "3.6.0"}, {Version: "not a version"}, {Action: pb.DowngradeRequest_CANCEL}} {
		_, _ = m.Downgrade(s.ctx, d)
	}
	_, _ = m.Alarm(s.ctx, &pb.AlarmRequest{})
	_, _ = m.Alarm(s.ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: s.self, Alarm: pb.AlarmType_NOSPACE})
	_, err := pb.NewKVClient(s.ClientConn).Put(s.ctx, &pb.PutRequest{Key: []byte("/full"), Value: []byte("v")})
	require.Error(s.t, err)
	_, _ = m.Alarm(s.ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: s.self, Alarm: pb.AlarmType_NOSPACE})
}

// givenUp is what etcd may say to a request for whose answer nobody waits: gRPC's
// server has its own clock for the deadline, and takes it for the client's word.
var givenUp = []answer{
	{codes.Canceled, ""},
	{codes.DeadlineExceeded, ""},
	{codes.Unknown, "etcdserver: request cancelled"},
	{codes.Canceled, "etcdserver: request canceled"}, // 3.7
	{codes.Unavailable, "etcdserver: request timed out"},
	{codes.Unavailable, "etcdserver: request timed out, possibly due to connection lost"},
	{codes.Unknown, "context canceled"}, // up to gRPC 1.41
	{codes.Unknown, "context deadline exceeded"},
	{codes.InvalidArgument, "etcdserver: user name is empty"}, // 3.4, for its own request
}

// giveUpAfter is how long a client waits that gives up; etcd has begun by then, on a
// machine that stands still for a moment too.
var giveUpAfter = time.Second

func init() {
	if guest.Inside() {
		giveUpAfter = 2 * time.Second
	}
}

// shortly is a context whose request is given up, in the way that code says.
func (s *script) shortly(code codes.Code) context.Context {
	ctx, cancel := context.WithCancel(etcdSays(s.ctx, givenUp))
	if code == codes.DeadlineExceeded {
		ctx, cancel = context.WithTimeout(ctx, giveUpAfter)
	} else {
		time.AfterFunc(giveUpAfter, cancel)
	}
	s.t.Cleanup(cancel)
	return ctx
}

func (s *script) lease() int64 {
	r, err := pb.NewLeaseClient(s.ClientConn).LeaseGrant(s.ctx, &pb.LeaseGrantRequest{TTL: 600})
	require.NoError(s.t, err)
	return r.ID
}

func (s *script) locks() {
	lock := v3lockpb.NewLockClient(s.ClientConn)
	mine, other := s.lease(), s.lease()
	held, err := lock.Lock(s.ctx, &v3lockpb.LockRequest{Name: []byte("/locks/one"), Lease: mine})
	require.NoError(s.t, err)
	for _, code := range []codes.Code{codes.DeadlineExceeded, codes.Canceled} {
		_, err = lock.Lock(s.shortly(code), &v3lockpb.LockRequest{Name: []byte("/locks/one"), Lease: other})
		require.Error(s.t, err)
	}
	_, _ = lock.Unlock(s.ctx, &v3lockpb.UnlockRequest{Key: held.Key})
}

func (s *script) elections() {
	election := v3electionpb.NewElectionClient(s.ClientConn)
	name := []byte("/elections/one")
	_, _ = election.Leader(s.ctx, &v3electionpb.LeaderRequest{Name: name})
	won, err := election.Campaign(s.ctx, &v3electionpb.CampaignRequest{Name: name, Lease: s.lease(), Value: []byte("me")})
	require.NoError(s.t, err)
	_, _ = election.Proclaim(s.ctx, &v3electionpb.ProclaimRequest{Leader: won.Leader, Value: []byte("still me")})
	_, _ = election.Leader(s.ctx, &v3electionpb.LeaderRequest{Name: name})
	_, _ = election.Resign(s.ctx, &v3electionpb.ResignRequest{Leader: won.Leader})
	_, _ = election.Proclaim(s.ctx, &v3electionpb.ProclaimRequest{Leader: won.Leader, Value: []byte("no more")})
}

// enableAuth: users are told of from now on.
func (s *script) enableAuth(password string) {
	auth := pb.NewAuthClient(s.ClientConn)
	_, _ = auth.AuthEnable(s.ctx, &pb.AuthEnableRequest{}) // there is no root
	_, _ = auth.UserAdd(s.ctx, &pb.AuthUserAddRequest{Name: "root", Password: password})
	_, _ = auth.RoleAdd(s.ctx, &pb.AuthRoleAddRequest{Name: "root"})
	_, _ = auth.UserGrantRole(s.ctx, &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"})
	_, err := auth.AuthEnable(s.ctx, &pb.AuthEnableRequest{})
	require.NoError(s.t, err)
}

// denied is what etcd refuses while auth is on; s is root.
func (s *script) denied(reader *script) {
	auth := pb.NewAuthClient(s.ClientConn)
	_, err := auth.UserAdd(s.ctx, &pb.AuthUserAddRequest{Name: "reader", Password: "secret"})
	require.NoError(s.t, err)
	_, _ = auth.RoleAdd(s.ctx, &pb.AuthRoleAddRequest{Name: "reader"})
	_, _ = auth.RoleGrantPermission(s.ctx, &pb.AuthRoleGrantPermissionRequest{Name: "reader", Perm: &authpb.Permission{Key: []byte("/a")}})
	_, _ = auth.UserGrantRole(s.ctx, &pb.AuthUserGrantRoleRequest{User: "reader", Role: "reader"})

	_, _ = pb.NewAuthClient(reader.ClientConn).Authenticate(reader.ctx, &pb.AuthenticateRequest{Name: "reader", Password: "wrong"})
	_, _ = pb.NewAuthClient(reader.ClientConn).Authenticate(reader.ctx, &pb.AuthenticateRequest{Name: "reader", Password: "secret"})
	_, _ = pb.NewKVClient(reader.ClientConn).Range(reader.ctx, &pb.RangeRequest{Key: []byte("/a")}) // without a token
	reader.token = "no token"
	_, _ = pb.NewKVClient(reader.ClientConn).Range(reader.ctx, &pb.RangeRequest{Key: []byte("/a")})
	reader.is(s.t, "reader", "secret")
	kv := pb.NewKVClient(reader.ClientConn)
	_, _ = kv.Range(reader.ctx, &pb.RangeRequest{Key: []byte("/a")})
	_, _ = kv.Range(reader.ctx, &pb.RangeRequest{Key: []byte("/b")})
	_, _ = kv.Put(reader.ctx, &pb.PutRequest{Key: []byte("/a"), Value: []byte("not allowed")})
	_, _ = kv.DeleteRange(reader.ctx, &pb.DeleteRangeRequest{Key: []byte("/"), RangeEnd: []byte("0")})
	_, _ = kv.Txn(reader.ctx, &pb.TxnRequest{Success: []*pb.RequestOp{put("/a", "")}})
	_, _ = pb.NewAuthClient(reader.ClientConn).UserAdd(reader.ctx, &pb.AuthUserAddRequest{Name: "friend", Password: "x"})
	_, _ = pb.NewClusterClient(reader.ClientConn).MemberAdd(reader.ctx, &pb.MemberAddRequest{PeerURLs: []string{"http://127.0.0.1:9"}})
	_, _ = pb.NewMaintenanceClient(reader.ClientConn).Defragment(reader.ctx, &pb.DefragmentRequest{})
	_, _ = auth.AuthEnable(s.ctx, &pb.AuthEnableRequest{})
}

// withoutQuorum adds a member that does not run: nothing can be written any more.
func (s *script) withoutQuorum() {
	_, err := pb.NewClusterClient(s.ClientConn).MemberAdd(s.ctx, &pb.MemberAddRequest{PeerURLs: []string{"http://127.0.0.1:29"}})
	require.NoError(s.t, err)
	kv := pb.NewKVClient(s.ClientConn)
	for _, code := range []codes.Code{codes.DeadlineExceeded, codes.Canceled} {
		_, err = kv.Put(s.shortly(code), &pb.PutRequest{Key: []byte("/stuck"), Value: []byte(code.String())})
		require.Error(s.t, err)
		_, err = kv.Range(s.shortly(code), &pb.RangeRequest{Key: []byte("/stuck")})
		require.Error(s.t, err)
	}
}
