// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

// operation is a kind of request: what it is called, and what of its messages is
// worth knowing. Messages are named as Go's run-time types are, fields as in
// etcd's api/etcdserverpb/rpc.proto. An empty name is a field that there is not.
type operation struct {
	name   string // db.operation.name
	method string // rpc.method
	family family
	read   bool // changes nothing

	request, response string
	key, end, value   string // key and end: a key range, or who and what an auth request is about
	number            string // of the request
	keyIs             meaning
	numberIs          meaning
	count, answer     string // of the response
}

// meaning is what a key or a number of a request is.
type meaning uint8

const (
	isKey meaning = iota
	isName
	isUser // and end is a role
	isRole
	isLease
	isTTL
	isRevision
	isMember
	isAction
	isWatch
	isAge // of a stream, ns
)

// family is what an event is named after, and what ebpf.operations lists.
type family string

const (
	familyGet         family = "get"
	familyPut         family = "put"
	familyDelete      family = "delete"
	familyTxn         family = "txn"
	familyCompact     family = "compact"
	familyWatch       family = "watch"
	familyLease       family = "lease"
	familyAuth        family = "auth"
	familyMember      family = "member"
	familyMaintenance family = "maintenance"
	familyLock        family = "lock"
	familyOther       family = "other"
)

// unary are all operations that are one request and one response. Their code is
// their position, from 1; 0 is a request of a type that is not here. Codes are of
// one run: nothing keeps them.
var unary = []operation{
	{name: "range", method: "etcdserverpb.KV/Range", family: familyGet, read: true, request: "etcdserverpb.RangeRequest", response: "etcdserverpb.RangeResponse", key: "Key", end: "RangeEnd", number: "Revision", count: "Count", numberIs: isRevision},
	{name: "put", method: "etcdserverpb.KV/Put", family: familyPut, request: "etcdserverpb.PutRequest", response: "etcdserverpb.PutResponse", key: "Key", value: "Value", number: "Lease", numberIs: isLease},
	{name: "delete_range", method: "etcdserverpb.KV/DeleteRange", family: familyDelete, request: "etcdserverpb.DeleteRangeRequest", response: "etcdserverpb.DeleteRangeResponse", key: "Key", end: "RangeEnd", count: "Deleted"},
	{name: "txn", method: "etcdserverpb.KV/Txn", family: familyTxn, request: "etcdserverpb.TxnRequest", response: "etcdserverpb.TxnResponse", count: "Responses", answer: "Succeeded"},
	{name: "compact", method: "etcdserverpb.KV/Compact", family: familyCompact, request: "etcdserverpb.CompactionRequest", response: "etcdserverpb.CompactionResponse", number: "Revision", numberIs: isRevision},

	{name: "lease_grant", method: "etcdserverpb.Lease/LeaseGrant", family: familyLease, request: "etcdserverpb.LeaseGrantRequest", response: "etcdserverpb.LeaseGrantResponse", number: "TTL", answer: "ID", numberIs: isTTL},
	{name: "lease_revoke", method: "etcdserverpb.Lease/LeaseRevoke", family: familyLease, request: "etcdserverpb.LeaseRevokeRequest", response: "etcdserverpb.LeaseRevokeResponse", number: "ID", numberIs: isLease},
	{name: "lease_time_to_live", method: "etcdserverpb.Lease/LeaseTimeToLive", family: familyLease, read: true, request: "etcdserverpb.LeaseTimeToLiveRequest", response: "etcdserverpb.LeaseTimeToLiveResponse", number: "ID", answer: "TTL", numberIs: isLease},
	{name: "lease_leases", method: "etcdserverpb.Lease/LeaseLeases", family: familyLease, read: true, request: "etcdserverpb.LeaseLeasesRequest", response: "etcdserverpb.LeaseLeasesResponse", count: "Leases"},

	{name: "auth_enable", method: "etcdserverpb.Auth/AuthEnable", family: familyAuth, request: "etcdserverpb.AuthEnableRequest", response: "etcdserverpb.AuthEnableResponse"},
	{name: "auth_disable", method: "etcdserverpb.Auth/AuthDisable", family: familyAuth, request: "etcdserverpb.AuthDisableRequest", response: "etcdserverpb.AuthDisableResponse"},
	{name: "auth_status", method: "etcdserverpb.Auth/AuthStatus", family: familyAuth, read: true, request: "etcdserverpb.AuthStatusRequest", response: "etcdserverpb.AuthStatusResponse"},
	{name: "authenticate", method: "etcdserverpb.Auth/Authenticate", family: familyAuth, request: "etcdserverpb.AuthenticateRequest", response: "etcdserverpb.AuthenticateResponse", key: "Name", keyIs: isUser},
	{name: "user_add", method: "etcdserverpb.Auth/UserAdd", family: familyAuth, request: "etcdserverpb.AuthUserAddRequest", response: "etcdserverpb.AuthUserAddResponse", key: "Name", keyIs: isUser},
	{name: "user_get", method: "etcdserverpb.Auth/UserGet", family: familyAuth, read: true, request: "etcdserverpb.AuthUserGetRequest", response: "etcdserverpb.AuthUserGetResponse", key: "Name", keyIs: isUser},
	{name: "user_list", method: "etcdserverpb.Auth/UserList", family: familyAuth, read: true, request: "etcdserverpb.AuthUserListRequest", response: "etcdserverpb.AuthUserListResponse"},
	{name: "user_delete", method: "etcdserverpb.Auth/UserDelete", family: familyAuth, request: "etcdserverpb.AuthUserDeleteRequest", response: "etcdserverpb.AuthUserDeleteResponse", key: "Name", keyIs: isUser},
	{name: "user_change_password", method: "etcdserverpb.Auth/UserChangePassword", family: familyAuth, request: "etcdserverpb.AuthUserChangePasswordRequest", response: "etcdserverpb.AuthUserChangePasswordResponse", key: "Name", keyIs: isUser},
	{name: "user_grant_role", method: "etcdserverpb.Auth/UserGrantRole", family: familyAuth, request: "etcdserverpb.AuthUserGrantRoleRequest", response: "etcdserverpb.AuthUserGrantRoleResponse", key: "User", end: "Role", keyIs: isUser},
	{name: "user_revoke_role", method: "etcdserverpb.Auth/UserRevokeRole", family: familyAuth, request: "etcdserverpb.AuthUserRevokeRoleRequest", response: "etcdserverpb.AuthUserRevokeRoleResponse", key: "Name", end: "Role", keyIs: isUser},
	{name: "role_add", method: "etcdserverpb.Auth/RoleAdd", family: familyAuth, request: "etcdserverpb.AuthRoleAddRequest", response: "etcdserverpb.AuthRoleAddResponse", key: "Name", keyIs: isRole},
	{name: "role_get", method: "etcdserverpb.Auth/RoleGet", family: familyAuth, read: true, request: "etcdserverpb.AuthRoleGetRequest", response: "etcdserverpb.AuthRoleGetResponse", key: "Role", keyIs: isRole},
	{name: "role_list", method: "etcdserverpb.Auth/RoleList", family: familyAuth, read: true, request: "etcdserverpb.AuthRoleListRequest", response: "etcdserverpb.AuthRoleListResponse"},
	{name: "role_delete", method: "etcdserverpb.Auth/RoleDelete", family: familyAuth, request: "etcdserverpb.AuthRoleDeleteRequest", response: "etcdserverpb.AuthRoleDeleteResponse", key: "Role", keyIs: isRole},
	{name: "role_grant_permission", method: "etcdserverpb.Auth/RoleGrantPermission", family: familyAuth, request: "etcdserverpb.AuthRoleGrantPermissionRequest", response: "etcdserverpb.AuthRoleGrantPermissionResponse", key: "Name", keyIs: isRole},
	{name: "role_revoke_permission", method: "etcdserverpb.Auth/RoleRevokePermission", family: familyAuth, request: "etcdserverpb.AuthRoleRevokePermissionRequest", response: "etcdserverpb.AuthRoleRevokePermissionResponse", key: "Role", keyIs: isRole},

	{name: "member_add", method: "etcdserverpb.Cluster/MemberAdd", family: familyMember, request: "etcdserverpb.MemberAddRequest", response: "etcdserverpb.MemberAddResponse"},
	{name: "member_remove", method: "etcdserverpb.Cluster/MemberRemove", family: familyMember, request: "etcdserverpb.MemberRemoveRequest", response: "etcdserverpb.MemberRemoveResponse", number: "ID", numberIs: isMember},
	{name: "member_update", method: "etcdserverpb.Cluster/MemberUpdate", family: familyMember, request: "etcdserverpb.MemberUpdateRequest", response: "etcdserverpb.MemberUpdateResponse", number: "ID", numberIs: isMember},
	{name: "member_list", method: "etcdserverpb.Cluster/MemberList", family: familyMember, read: true, request: "etcdserverpb.MemberListRequest", response: "etcdserverpb.MemberListResponse"},
	{name: "member_promote", method: "etcdserverpb.Cluster/MemberPromote", family: familyMember, request: "etcdserverpb.MemberPromoteRequest", response: "etcdserverpb.MemberPromoteResponse", number: "ID", numberIs: isMember},

	{name: "alarm", method: "etcdserverpb.Maintenance/Alarm", family: familyMaintenance, request: "etcdserverpb.AlarmRequest", response: "etcdserverpb.AlarmResponse", number: "Action", numberIs: isAction},
	{name: "status", method: "etcdserverpb.Maintenance/Status", family: familyMaintenance, read: true, request: "etcdserverpb.StatusRequest", response: "etcdserverpb.StatusResponse"},
	{name: "defragment", method: "etcdserverpb.Maintenance/Defragment", family: familyMaintenance, request: "etcdserverpb.DefragmentRequest", response: "etcdserverpb.DefragmentResponse"},
	{name: "hash", method: "etcdserverpb.Maintenance/Hash", family: familyMaintenance, read: true, request: "etcdserverpb.HashRequest", response: "etcdserverpb.HashResponse"},
	{name: "hash_kv", method: "etcdserverpb.Maintenance/HashKV", family: familyMaintenance, read: true, request: "etcdserverpb.HashKVRequest", response: "etcdserverpb.HashKVResponse", number: "Revision", numberIs: isRevision},
	{name: "move_leader", method: "etcdserverpb.Maintenance/MoveLeader", family: familyMaintenance, request: "etcdserverpb.MoveLeaderRequest", response: "etcdserverpb.MoveLeaderResponse", number: "TargetID", numberIs: isMember},
	{name: "downgrade", method: "etcdserverpb.Maintenance/Downgrade", family: familyMaintenance, request: "etcdserverpb.DowngradeRequest", response: "etcdserverpb.DowngradeResponse", key: "Version", number: "Action", numberIs: isAction, keyIs: isName},

	{name: "lock", method: "v3lockpb.Lock/Lock", family: familyLock, request: "v3lockpb.LockRequest", response: "v3lockpb.LockResponse", key: "Name", number: "Lease", numberIs: isLease, keyIs: isName},
	{name: "unlock", method: "v3lockpb.Lock/Unlock", family: familyLock, request: "v3lockpb.UnlockRequest", response: "v3lockpb.UnlockResponse", key: "Key"},
	{name: "campaign", method: "v3electionpb.Election/Campaign", family: familyLock, request: "v3electionpb.CampaignRequest", response: "v3electionpb.CampaignResponse", key: "Name", value: "Value", number: "Lease", numberIs: isLease, keyIs: isName},
	{name: "proclaim", method: "v3electionpb.Election/Proclaim", family: familyLock, request: "v3electionpb.ProclaimRequest", response: "v3electionpb.ProclaimResponse", value: "Value"},
	{name: "leader", method: "v3electionpb.Election/Leader", family: familyLock, read: true, request: "v3electionpb.LeaderRequest", response: "v3electionpb.LeaderResponse", key: "Name", keyIs: isName},
	{name: "resign", method: "v3electionpb.Election/Resign", family: familyLock, request: "v3electionpb.ResignRequest", response: "v3electionpb.ResignResponse"},
}

// streams are the requests on streams, told as they begin, and the end of a stream
// of watches; codes go on after unary.
var streams = []operation{
	{name: "watch_create", method: "etcdserverpb.Watch/Watch", family: familyWatch, read: true, request: "etcdserverpb.WatchCreateRequest", key: "Key", end: "RangeEnd", number: "StartRevision", numberIs: isRevision},
	{name: "lease_keep_alive", method: "etcdserverpb.Lease/LeaseKeepAlive", family: familyLease, read: true, numberIs: isLease},
	{name: "snapshot", method: "etcdserverpb.Maintenance/Snapshot", family: familyMaintenance},
	{name: "range_stream", method: "etcdserverpb.KV/RangeStream", family: familyGet, read: true, request: "etcdserverpb.RangeRequest", key: "Key", end: "RangeEnd", number: "Revision", numberIs: isRevision},
	{name: "watch_cancel", method: "etcdserverpb.Watch/Watch", family: familyWatch, read: true, numberIs: isWatch},
	{name: "watch_close", method: "etcdserverpb.Watch/Watch", family: familyWatch, read: true, numberIs: isAge},
}

// inner are the operations of a transaction by the code in bpf.Record.
var inner = [...]string{"", "put", "range", "delete_range", "txn"}

// byCode gives the operation of a record, nil for 0 and what is unknown.
func byCode(code uint8) *operation {
	switch i := int(code) - 1; {
	case i < 0 || i >= len(unary)+len(streams):
		return nil
	case i < len(unary):
		return &unary[i]
	default:
		return &streams[i-len(unary)]
	}
}
