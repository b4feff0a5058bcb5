// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"fmt"
	"strings"
	"unicode/utf8"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
)

// describe adds to an expectation what its messages say: request and reply as the
// client had them, reply nil if it failed.
func describe(a *asked, request, reply any) {
	if r, ok := reply.(interface{ GetHeader() *pb.ResponseHeader }); ok && r.GetHeader().GetRevision() > 0 {
		a.attrs["etcd.revision"] = r.GetHeader().GetRevision()
	}
	switch q := request.(type) {
	case *pb.RangeRequest:
		a.is("get", "range").key(q.Key, q.RangeEnd).number("etcd.request.revision", q.Revision)
		if r, ok := reply.(*pb.RangeResponse); ok {
			a.attrs["etcd.response.count"] = r.Count
		}
	case *pb.PutRequest:
		a.is("put", "put").key(q.Key, nil).lease(q.Lease).size(q.Value)
	case *pb.DeleteRangeRequest:
		a.is("delete", "delete_range").key(q.Key, q.RangeEnd)
		if r, ok := reply.(*pb.DeleteRangeResponse); ok {
			a.attrs["etcd.response.count"] = r.Deleted
		}
	case *pb.TxnRequest:
		a.is("txn", "txn")
		if r, ok := reply.(*pb.TxnResponse); ok {
			a.transaction(q, r)
		}
	case *pb.CompactionRequest:
		a.is("compact", "compact").number("etcd.request.revision", q.Revision)
	default:
		describeRest(a, request, reply)
	}
}

func describeRest(a *asked, request, reply any) {
	switch q := request.(type) {
	case *pb.LeaseGrantRequest:
		a.is("lease", "lease_grant").attrs["etcd.lease.ttl"] = q.TTL
		if r, ok := reply.(*pb.LeaseGrantResponse); ok {
			a.lease(r.ID)
		}
	case *pb.LeaseRevokeRequest:
		a.is("lease", "lease_revoke").lease(q.ID)
	case *pb.LeaseTimeToLiveRequest:
		a.is("lease", "lease_time_to_live").lease(q.ID)
		if r, ok := reply.(*pb.LeaseTimeToLiveResponse); ok && r.TTL >= 0 {
			a.attrs["etcd.lease.ttl"] = r.TTL
		}
	case *pb.LeaseLeasesRequest:
		a.is("lease", "lease_leases")
		if r, ok := reply.(*pb.LeaseLeasesResponse); ok {
			a.attrs["etcd.response.count"] = int64(len(r.Leases))
		}

	case *pb.AuthEnableRequest:
		a.is("auth", "auth_enable")
	case *pb.AuthDisableRequest:
		a.is("auth", "auth_disable")
	case *pb.AuthStatusRequest:
		a.is("auth", "auth_status")
	case *pb.AuthenticateRequest:
		a.is("auth", "authenticate").text("etcd.auth.user", q.Name)
	case *pb.AuthUserAddRequest:
		a.is("auth", "user_add").text("etcd.auth.user", q.Name)
	case *pb.AuthUserGetRequest:
		a.is("auth", "user_get").text("etcd.auth.user", q.Name)
	case *pb.AuthUserListRequest:
		a.is("auth", "user_list")
	case *pb.AuthUserDeleteRequest:
		a.is("auth", "user_delete").text("etcd.auth.user", q.Name)
	case *pb.AuthUserChangePasswordRequest:
		a.is("auth", "user_change_password").text("etcd.auth.user", q.Name)
	case *pb.AuthUserGrantRoleRequest:
		a.is("auth", "user_grant_role").text("etcd.auth.user", q.User).text("etcd.auth.role", q.Role)
	case *pb.AuthUserRevokeRoleRequest:
		a.is("auth", "user_revoke_role").text("etcd.auth.user", q.Name).text("etcd.auth.role", q.Role)
	case *pb.AuthRoleAddRequest:
		a.is("auth", "role_add").text("etcd.auth.role", q.Name)
	case *pb.AuthRoleGetRequest:
		a.is("auth", "role_get").text("etcd.auth.role", q.Role)
	case *pb.AuthRoleListRequest:
		a.is("auth", "role_list")
	case *pb.AuthRoleDeleteRequest:
		a.is("auth", "role_delete").text("etcd.auth.role", q.Role)
	case *pb.AuthRoleGrantPermissionRequest:
		a.is("auth", "role_grant_permission").text("etcd.auth.role", q.Name)
	case *pb.AuthRoleRevokePermissionRequest:
		a.is("auth", "role_revoke_permission").text("etcd.auth.role", q.Role)

	case *pb.MemberAddRequest:
		a.is("member", "member_add")
	case *pb.MemberRemoveRequest:
		a.is("member", "member_remove").member(q.ID)
	case *pb.MemberUpdateRequest:
		a.is("member", "member_update").member(q.ID)
	case *pb.MemberListRequest:
		a.is("member", "member_list")
	case *pb.MemberPromoteRequest:
		a.is("member", "member_promote").member(q.ID)

	case *pb.AlarmRequest:
		a.is("maintenance", "alarm").attrs["etcd.request.action"] = int64(q.Action)
	case *pb.StatusRequest:
		a.is("maintenance", "status")
	case *pb.DefragmentRequest:
		a.is("maintenance", "defragment")
	case *pb.HashRequest:
		a.is("maintenance", "hash")
	case *pb.HashKVRequest:
		a.is("maintenance", "hash_kv").number("etcd.request.revision", q.Revision)
	case *pb.MoveLeaderRequest:
		a.is("maintenance", "move_leader").member(q.TargetID)
	case *pb.DowngradeRequest:
		a.is("maintenance", "downgrade").text("etcd.request.name", q.Version).attrs["etcd.request.action"] = int64(q.Action)

	case *v3lockpb.LockRequest:
		a.is("lock", "lock").text("etcd.request.name", string(q.Name)).lease(q.Lease)
	case *v3lockpb.UnlockRequest:
		a.is("lock", "unlock").key(q.Key, nil)
	case *v3electionpb.CampaignRequest:
		a.is("lock", "campaign").text("etcd.request.name", string(q.Name)).lease(q.Lease).size(q.Value)
	case *v3electionpb.ProclaimRequest:
		a.is("lock", "proclaim").size(q.Value)
	case *v3electionpb.LeaderRequest:
		a.is("lock", "leader").text("etcd.request.name", string(q.Name))
	case *v3electionpb.ResignRequest:
		a.is("lock", "resign")
	default:
		a.event = "etcd.request.other"
	}
}

func (a *asked) is(family, operation string) *asked {
	a.event, a.attrs["db.operation.name"] = "etcd.request."+family, operation
	return a
}

func (a *asked) text(name, value string) *asked {
	if value != "" {
		a.attrs[name] = value
	}
	return a
}

func (a *asked) number(name string, n int64) *asked {
	if n != 0 {
		a.attrs[name] = n
	}
	return a
}

func (a *asked) lease(id int64) *asked {
	if id != 0 {
		a.attrs["etcd.lease.id"] = fmt.Sprintf("%016x", id)
	}
	return a
}

func (a *asked) member(id uint64) *asked {
	a.attrs["etcd.request.member_id"] = fmt.Sprintf("%016x", id)
	return a
}

func (a *asked) size(value []byte) *asked {
	a.attrs["etcd.kv.value_size"] = int64(len(value))
	return a
}

// keptKey is how many bytes of a key are told.
const keptKey = 256

func (a *asked) key(key, end []byte) *asked {
	for name, value := range keyAttrs(key, end) {
		a.attrs[name] = value
	}
	return a
}

func keyAttrs(key, end []byte) map[string]any {
	attrs := map[string]any{}
	if len(key) > keptKey {
		attrs["etcd.key_size"], attrs["etcd.key_truncated"] = int64(len(key)), true
		key = key[:keptKey]
	}
	if len(key) > 0 {
		attrs["etcd.key"] = printable(key)
	}
	if len(end) > 0 {
		attrs["etcd.range_end"] = printable(end[:min(len(end), keptKey)])
	}
	return attrs
}

// transaction: the operations of the branch that ran, as people read them.
func (a *asked) transaction(q *pb.TxnRequest, r *pb.TxnResponse) {
	branch, ran := "failure", q.Failure
	if r.Succeeded {
		branch, ran = "success", q.Success
	}
	operations, keys := []any{}, []any{}
	for _, op := range ran[:min(len(ran), 128)] {
		switch o := op.Request.(type) {
		case *pb.RequestOp_RequestPut:
			operations = append(operations, fmt.Sprintf("put %s (%d B)", printable(cut(o.RequestPut.Key)), len(o.RequestPut.Value)))
			keys = append(keys, printable(cut(o.RequestPut.Key)))
		case *pb.RequestOp_RequestRange:
			operations = append(operations, "range "+span(o.RequestRange.Key, o.RequestRange.RangeEnd))
		case *pb.RequestOp_RequestDeleteRange:
			operations = append(operations, "delete "+span(o.RequestDeleteRange.Key, o.RequestDeleteRange.RangeEnd))
			keys = append(keys, printable(cut(o.RequestDeleteRange.Key)))
		case *pb.RequestOp_RequestTxn:
			operations = append(operations, "txn")
		}
	}
	a.attrs["etcd.txn.branch"], a.attrs["etcd.txn.operations"], a.attrs["etcd.txn.keys"] = branch, operations, keys
}

func cut(key []byte) []byte { return key[:min(len(key), keptKey)] }

// span is a key, a prefix or a range.
func span(key, end []byte) string {
	switch {
	case len(end) == 0:
		return printable(cut(key))
	case end[len(end)-1] == key[len(key)-1]+1 && string(end[:len(end)-1]) == string(key[:len(key)-1]):
		return printable(key) + "*"
	default:
		return printable(key) + ".." + printable(end)
	}
}

// printable is text that is UTF-8, other bytes as \xNN.
func printable(key []byte) string {
	if utf8.Valid(key) {
		return string(key)
	}
	var s strings.Builder
	for len(key) > 0 {
		r, size := utf8.DecodeRune(key)
		if r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&s, `\x%02x`, key[0])
		} else {
			s.Write(key[:size])
		}
		key = key[size:]
	}
	return s.String()
}
