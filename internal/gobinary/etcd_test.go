// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// etcdBinary is the etcd of a minor version that `make test` has provided, or any
// other in a folder of $ETCD_BIN_DIR that is named after a minor.
func etcdBinary(t testing.TB, minor string) string {
	t.Helper()
	file := filepath.Join(os.Getenv("ETCD_BIN_DIR"), minor, "etcd")
	if _, err := os.Stat(file); os.Getenv("ETCD_BIN_DIR") == "" || err != nil {
		const reason = "etcd %s is not at ETCD_BIN_DIR/%s/etcd (%q): run `make test`, which builds it"
		if os.Getenv("CI") != "" {
			t.Fatalf(reason, minor, minor, file)
		}
		t.Skipf("SKIPPED: "+reason, minor, minor, file)
	}
	return file
}

// etcdMinor is what the trace road relies on in one minor version of etcd.
type etcdMinor struct {
	minor   string
	version string // prefix of Build.EtcdVersion, "" if the build does not say
	module  string // path before "/etcdserver"
	args    int32  // of logUnaryRequestStats
	shift   uint64 // of all fields of messages: where the state of protobuf's generated code is in front
}

var etcdMinors = []etcdMinor{
	{minor: "3.4", version: "", module: "go.etcd.io/etcd", args: 88},
	{minor: "3.5", version: "3.5.", module: "go.etcd.io/etcd/server/v3", args: 88},
	{minor: "3.6", version: "3.6.", module: "go.etcd.io/etcd/server/v3", args: 96},
	{minor: "3.7", version: "3.7.", module: "go.etcd.io/etcd/server/v3", args: 96, shift: 8},
}

// messages are offsets of fields up to etcd 3.6.
var messages = map[string]map[string]uint64{
	"PutRequest":         {"Key": 0, "Value": 24, "Lease": 48, "PrevKv": 56, "IgnoreValue": 57, "IgnoreLease": 58},
	"RangeRequest":       {"Key": 0, "RangeEnd": 24, "Limit": 48, "Revision": 56, "SortOrder": 64, "SortTarget": 68, "Serializable": 72, "KeysOnly": 73, "CountOnly": 74},
	"DeleteRangeRequest": {"Key": 0, "RangeEnd": 24, "PrevKv": 48},
	"TxnRequest":         {"Compare": 0, "Success": 24, "Failure": 48},
	"Compare":            {"Result": 0, "Target": 4, "Key": 8, "TargetUnion": 32, "RangeEnd": 48},
	"RequestOp":          {"Request": 0},
	"CompactionRequest":  {"Revision": 0, "Physical": 8},

	"LeaseGrantRequest":      {"TTL": 0, "ID": 8},
	"LeaseRevokeRequest":     {"ID": 0},
	"LeaseKeepAliveRequest":  {"ID": 0},
	"LeaseTimeToLiveRequest": {"ID": 0},
	"LeaseLeasesRequest":     {},

	"WatchCreateRequest": {"Key": 0, "RangeEnd": 24, "StartRevision": 48, "ProgressNotify": 56, "Filters": 64, "PrevKv": 88, "WatchId": 96, "Fragment": 104},
	"WatchCancelRequest": {"WatchId": 0},

	"ResponseHeader":      {"ClusterId": 0, "MemberId": 8, "Revision": 16, "RaftTerm": 24},
	"PutResponse":         {"Header": 0},
	"RangeResponse":       {"Header": 0, "Kvs": 8, "More": 32, "Count": 40},
	"DeleteRangeResponse": {"Header": 0, "Deleted": 8},
	"TxnResponse":         {"Header": 0, "Succeeded": 8, "Responses": 16},
	"LeaseGrantResponse":  {"Header": 0, "ID": 8, "TTL": 16},
	"CompactionResponse":  {"Header": 0},

	"InternalRaftRequest": {"Header": 0},
	"RequestHeader":       {"ID": 0, "Username": 8, "AuthRevision": 24},
	"AuthenticateRequest": {"Name": 0, "Password": 16},
	"AuthUserAddRequest":  {"Name": 0, "Password": 16},

	"AlarmRequest": {}, "DefragmentRequest": {}, "HashKVRequest": {}, "MoveLeaderRequest": {}, "SnapshotRequest": {}, "StatusRequest": {},
	"MemberAddRequest": {}, "MemberListRequest": {}, "MemberPromoteRequest": {}, "MemberRemoveRequest": {}, "MemberUpdateRequest": {},
	"AuthEnableRequest": {}, "AuthDisableRequest": {},
	"AuthRoleAddRequest": {}, "AuthRoleDeleteRequest": {}, "AuthRoleGetRequest": {}, "AuthRoleGrantPermissionRequest": {},
	"AuthRoleListRequest": {}, "AuthRoleRevokePermissionRequest": {}, "AuthUserChangePasswordRequest": {}, "AuthUserDeleteRequest": {},
	"AuthUserGetRequest": {}, "AuthUserGrantRoleRequest": {}, "AuthUserListRequest": {}, "AuthUserRevokeRoleRequest": {},
}

// structs are the others that are walked through, by fields that they must have.
var structs = map[string][]string{
	"peer.Peer": {"Addr", "AuthInfo"}, "peer.peerKey": nil, "context.valueCtx": {"Context", "key", "val"},
	"net.TCPAddr": {"IP", "Port"}, "transport.strAddr": nil,
	"credentials.TLSInfo": {"State"}, "tls.ConnectionState": {"PeerCertificates"}, "x509.Certificate": {"Subject"}, "pkix.Name": {"CommonName", "Organization"},
	"auth.AuthInfo":                     {"Username", "Revision"},
	"etcdserverpb.RequestOp_RequestPut": {"RequestPut"}, "etcdserverpb.RequestOp_RequestRange": {"RequestRange"},
	"etcdserverpb.RequestOp_RequestDeleteRange": {"RequestDeleteRange"}, "etcdserverpb.RequestOp_RequestTxn": {"RequestTxn"},
}

func TestEtcdHasWhatTheTraceNeeds(t *testing.T) {
	for _, want := range etcdMinors {
		t.Run(want.minor, func(t *testing.T) {
			b := open(t, etcdBinary(t, want.minor))
			build := b.Build()
			assert.True(t, strings.HasPrefix(build.EtcdVersion, want.version), build.EtcdVersion)
			assert.Equal(t, want.version == "", build.EtcdVersion == "", build.EtcdVersion)
			assert.Regexp(t, `^go1\.\d+`, build.GoVersion)
			t.Run("functions", func(t *testing.T) { checkEtcdFunctions(t, b, want) })
			t.Run("messages", func(t *testing.T) { checkEtcdMessages(t, b, want.shift) })
			t.Run("structs", func(t *testing.T) { checkEtcdStructs(t, b) })
			t.Run("itabs", func(t *testing.T) { checkEtcdItabs(t, b) })
			t.Run("stack checks", func(t *testing.T) { checkStackChecks(t, b) })
		})
	}
}

func checkEtcdFunctions(t *testing.T, b *Binary, want etcdMinor) {
	server := want.module + "/etcdserver"
	stats, authInfo := server+"/api/v3rpc.logUnaryRequestStats", server+".(*EtcdServer).AuthInfoFromCtx"
	const status, convert = "google.golang.org/grpc/internal/status.(*Error).GRPCStatus", "google.golang.org/grpc/status.FromContextError"
	functions, err := b.Functions(func(name []byte) bool {
		return slices.Contains([]string{stats, authInfo, status, convert, "time.Now"}, string(name))
	})
	require.NoError(t, err)
	byName := map[string]Function{}
	for _, f := range functions {
		assert.NotContains(t, byName, f.Name)
		byName[f.Name] = f
	}
	require.Contains(t, byName, stats)
	assert.Equal(t, want.args, byName[stats].Args)
	require.Contains(t, byName, convert)
	if want.minor != "3.4" { // its gRPC returns the status as it is
		require.Contains(t, byName, status)
	}
	for _, f := range functions {
		offset, err := b.FileOffset(f.Entry)
		assert.NoError(t, err)
		assert.NotZero(t, offset)
	}
	for _, name := range []string{stats, authInfo} {
		_, err := b.StackCheck(byName[name])
		assert.NoError(t, err)
	}
	branches, err := b.Branches(byName[stats])
	require.NoError(t, err)
	assert.True(t, slices.ContainsFunc(branches, func(branch Branch) bool { return branch.Kind == Call }))
	branches, err = b.Branches(byName[authInfo])
	require.NoError(t, err)
	call := slices.IndexFunc(branches, func(branch Branch) bool { return branch.Kind == Call || branch.Kind == IndirectCall })
	require.GreaterOrEqual(t, call, 0)
	assert.True(t, slices.ContainsFunc(branches[call:], func(branch Branch) bool { return branch.Kind == JumpNotEqual }), "%+v", branches)
}

func checkEtcdMessages(t *testing.T, b *Binary, shift uint64) {
	pointers := map[uint64]string{}
	for name, want := range messages {
		message, err := b.Type("etcdserverpb."+name, slices.Collect(maps.Keys(want))...)
		if !assert.NoError(t, err) {
			continue
		}
		assert.NotContains(t, pointers, message.Pointer)
		pointers[message.Pointer] = name
		pointer, err := b.TypeAt(message.Pointer)
		assert.NoError(t, err)
		assert.Equal(t, "*etcdserverpb."+name, pointer.Name)
		assert.Equal(t, message.Addr, pointer.Elem)
		for field, offset := range want {
			got, _ := message.Field(field)
			assert.Equal(t, offset+shift, got.Offset, "%s.%s", name, field)
		}
	}
}

func checkEtcdStructs(t *testing.T, b *Binary) {
	for name, fields := range structs {
		_, err := b.Type(name, fields...)
		assert.NoError(t, err)
	}
	certificate, err := b.Type("x509.Certificate")
	require.NoError(t, err)
	subject, _ := certificate.Field("Subject")
	name, err := b.TypeAt(subject.Type)
	require.NoError(t, err)
	assert.Equal(t, "pkix.Name", name.Name)
	common, _ := name.Field("CommonName")
	assert.EqualValues(t, 184, common.Offset)

	// gRPC has a Status of its own that wraps the one of protobuf.
	own, err := b.Type("status.Status", "s")
	require.NoError(t, err)
	s, _ := own.Field("s")
	pointer, err := b.TypeAt(s.Type)
	require.NoError(t, err)
	other, err := b.Type("status.Status", "Code", "Message")
	require.NoError(t, err)
	assert.Equal(t, other.Addr, pointer.Elem)
	_, err = b.Type("status.Status")
	assert.ErrorIs(t, err, ErrAmbiguous)
	_, err = b.Type("status.Status", "Reason")
	assert.ErrorIs(t, err, ErrNotFound)
	_, err = b.Type("etcdserverpb.NoSuchRequest")
	assert.ErrorIs(t, err, ErrNotFound)
}

func checkEtcdItabs(t *testing.T, b *Binary) {
	itabs, err := b.Itabs("etcdserverpb.isRequestOp_Request")
	require.NoError(t, err)
	var wrappers []string
	for _, itab := range itabs {
		wrappers = append(wrappers, itab.Concrete)
		concrete, err := b.Type(strings.TrimPrefix(itab.Concrete, "*"))
		if assert.NoError(t, err) {
			assert.Equal(t, concrete.Pointer, itab.ConcreteType)
		}
	}
	assert.ElementsMatch(t, []string{
		"*etcdserverpb.RequestOp_RequestPut", "*etcdserverpb.RequestOp_RequestRange",
		"*etcdserverpb.RequestOp_RequestDeleteRange", "*etcdserverpb.RequestOp_RequestTxn",
	}, wrappers)
	itabs, err = b.Itabs("net.Addr")
	require.NoError(t, err)
	tcp, err := b.Type("net.TCPAddr")
	require.NoError(t, err)
	text, err := b.Type("transport.strAddr")
	require.NoError(t, err)
	for _, want := range []uint64{tcp.Pointer, text.Addr} {
		assert.True(t, slices.ContainsFunc(itabs, func(itab Itab) bool { return itab.ConcreteType == want }))
	}
	itabs, err = b.Itabs("etcdserverpb.noSuchInterface")
	assert.NoError(t, err)
	assert.Empty(t, itabs)
}

// BenchmarkInspectEtcd is what attaching to a new executable costs: Open and
// all questions of the trace road.
func BenchmarkInspectEtcd(b *testing.B) {
	for _, minor := range etcdMinors {
		b.Run(minor.minor, func(b *testing.B) {
			file, err := os.Open(etcdBinary(b, minor.minor))
			require.NoError(b, err)
			defer file.Close()
			b.ReportAllocs()
			for b.Loop() {
				inspectEtcd(b, file)
			}
		})
	}
}

func inspectEtcd(tb testing.TB, file *os.File) {
	binary, err := Open(file)
	require.NoError(tb, err)
	functions, err := binary.Functions(func(name []byte) bool {
		return strings.HasSuffix(string(name), "v3rpc.logUnaryRequestStats") || strings.HasSuffix(string(name), "writeStatus") || strings.HasSuffix(string(name), "AuthInfoFromCtx")
	})
	require.NoError(tb, err)
	require.NotEmpty(tb, functions)
	for _, f := range functions {
		_, _ = binary.StackCheck(f)
		_, err = binary.Branches(f)
		require.NoError(tb, err)
	}
	for name, fields := range messages {
		_, err := binary.Type("etcdserverpb."+name, slices.Collect(maps.Keys(fields))...)
		require.NoError(tb, err)
	}
	for name, fields := range structs {
		_, err := binary.Type(name, fields...)
		require.NoError(tb, err)
	}
	for _, name := range []string{"etcdserverpb.isRequestOp_Request", "net.Addr"} {
		_, err := binary.Itabs(name)
		require.NoError(tb, err)
	}
}
