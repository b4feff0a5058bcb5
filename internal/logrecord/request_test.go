// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"maps"
	"net/netip"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// served is a request of which everything is known that any has.
func served(family, operation, method string, more func(*Request)) func(*Format, *Batch) {
	return func(_ *Format, b *Batch) {
		q := &Request{
			Family: family, Operation: operation, Method: "etcdserverpb." + method,
			Start: time.Unix(1700000000, 123456789), Duration: 41800 * time.Microsecond, ThreadID: 4711,
			Client: netip.MustParseAddrPort("10.0.0.17:50718"), User: "deploy-bot",
			ValueSize: Absent, TTL: Absent, Action: Absent, Count: Absent, Revision: 985, Code: "OK",
		}
		more(q)
		b.Request(q)
	}
}

// failed makes it one that failed, of a client of this host with a certificate, with a part lost.
func failed(more func(*Request)) func(*Request) {
	return func(q *Request) {
		q.Failed, q.Code, q.Message, q.Revision = true, "PERMISSION_DENIED", "etcdserver: permission denied", 0
		q.User, q.Subject, q.Incomplete = "", "kube-apiserver", true
		q.Client, q.Process = netip.MustParseAddrPort("127.0.0.1:50718"), Process{"kube-apiserver", 4711}
		more(q)
	}
}

// requests have each family twice: as it succeeds, and with all that a failure has.
var requests = func() map[string]func(*Format, *Batch) {
	all := map[string]func(*Format, *Batch){}
	for _, s := range []struct {
		family, operation, method string
		more                      func(*Request)
	}{
		{"get", "range", "KV/Range", func(q *Request) {
			q.Key, q.End, q.KeySize, q.Count, q.At = []byte("/config/"), []byte("/config0"), 300, 12, 900
		}},
		{"put", "put", "KV/Put", func(q *Request) {
			q.Key, q.KeySize, q.ValueSize, q.LeaseID = []byte("/config/db/5"), 300, 13, 0x694d8e9e05c52164
		}},
		{"delete", "delete_range", "KV/DeleteRange", func(q *Request) {
			q.Key, q.End, q.KeySize, q.Count = []byte{0}, []byte{0}, 300, 3
		}},
		{"txn", "txn", "KV/Txn", func(q *Request) {
			q.Succeeded = true
			q.Operations = []InnerOperation{
				{Operation: "put", Key: []byte("/a\xff"), ValueSize: 5},
				{Operation: "range", Key: []byte("/b"), End: []byte("/c"), ValueSize: Absent},
				{Operation: "delete_range", Key: []byte("/d"), End: []byte("/x"), ValueSize: Absent},
				{ValueSize: Absent},
			}
		}},
		{"compact", "compact", "KV/Compact", func(q *Request) { q.At = 900 }},
		{"watch", "watch_create", "Watch/Watch", func(q *Request) {
			q.Key, q.KeySize, q.End, q.At, q.Duration = []byte("/w"), 300, []byte("/z"), 900, 7*time.Second
		}},
		{"lease", "lease_grant", "Lease/LeaseGrant", func(q *Request) { q.LeaseID, q.TTL, q.Count = 0x694d8e9e05c52164, 60, 2 }},
		{"auth", "user_grant_role", "Auth/UserGrantRole", func(q *Request) { q.AuthUser, q.AuthRole = "alice", "root" }},
		{"member", "member_remove", "Cluster/MemberRemove", func(q *Request) { q.MemberID = n1.ID }},
		{"maintenance", "downgrade", "Maintenance/Downgrade", func(q *Request) { q.Action, q.Name, q.MemberID, q.At = 1, "3.5", n1.ID, 900 }},
		{"lock", "lock", "Lock/Lock", func(q *Request) {
			q.Name, q.LeaseID, q.Key, q.KeySize = "leader", 0x694d8e9e05c52164, []byte("leader/1"), 300
		}},
		{"other", "", "New/Thing", func(*Request) {}},
	} {
		all["request "+s.family] = served(s.family, s.operation, s.method, s.more)
		all["request "+s.family+" failed"] = served(s.family, s.operation, s.method, failed(s.more))
	}
	all["request watch begun"] = served("watch", "watch_create", "Watch/Watch", func(q *Request) {
		q.Key, q.KeySize, q.End, q.Duration, q.Code = []byte("/w"), 2, []byte("/x"), -1, ""
	})
	all["request watch canceled"] = served("watch", watchCancel, "Watch/Watch", func(q *Request) {
		q.WatchID, q.Duration, q.Code, q.Revision = 7, -1, "", 0
	})
	all["request watch closed"] = served("watch", watchClose, "Watch/Watch", func(q *Request) {
		q.Duration, q.Code, q.Revision, q.User = 90*time.Minute, "", 0, ""
	})
	all["request of an unknown outcome"] = served("put", "put", "KV/Put", func(q *Request) {
		q.Failed, q.Code, q.Client, q.User = true, "", netip.AddrPort{}, ""
	})
	all["requests lost"] = func(_ *Format, b *Batch) { b.RequestsLost(4711) }
	return all
}()

func init() { maps.Copy(samples, requests) }

func TestTheSentenceOfARequestSaysWhoDidWhatWithWhichResult(t *testing.T) {
	for name, want := range map[string]string{
		"request get":                   "deploy-bot@10.0.0.17 range /config/* at 900 -> 12 keys at rev 985 in 41.8ms",
		"request put":                   "deploy-bot@10.0.0.17 put /config/db/5 (13 B) -> rev 985 in 41.8ms",
		"request delete":                "deploy-bot@10.0.0.17 delete range all keys -> 3 keys, rev 985 in 41.8ms",
		"request txn":                   `deploy-bot@10.0.0.17 txn put /a\xff (5 B), range /b*, delete /d../x, ... -> rev 985 in 41.8ms`,
		"request auth":                  "deploy-bot@10.0.0.17 user grant role alice root -> rev 985 in 41.8ms",
		"request put failed":            "kube-apiserver@127.0.0.1 (kube-apiserver[4711]) put /config/db/5 (13 B) failed: PERMISSION_DENIED (etcdserver: permission denied) in 41.8ms",
		"request watch begun":           "deploy-bot@10.0.0.17 watch create /w*",
		"request watch canceled":        "deploy-bot@10.0.0.17 watch cancel 7",
		"request watch closed":          "10.0.0.17 watch close after 1h30m0s",
		"request other":                 "deploy-bot@10.0.0.17 etcdserverpb.New/Thing -> rev 985 in 41.8ms",
		"request of an unknown outcome": "somebody put failed in 41.8ms",
	} {
		logs := sample(requests[name])
		body := logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Body().Str()
		assert.Equal(t, want, body, name)
	}
}

func TestARangeIsSaidAsAPrefixOnlyWhereItIsOne(t *testing.T) {
	for _, tc := range []struct{ key, end, want string }{
		{"/a", "", "/a"},
		{"/a", "/b", "/a*"},
		{"/a/", "/a0", "/a/*"},
		{"/a", "/c", "/a../c"},
		{"/a", "/a0", "/a../a0"},
		{"/a\xff", "/b", `/a\xff*`},
		{"a\xffb", "b", `a\xffb..b`},
		{"\x00", "\x00", "all keys"},
		{"k", "\x00", "k..\x00"},
		{"", "b", "..b"},
	} {
		var s text
		s.keys([]byte(tc.key), []byte(tc.end))
		assert.Equal(t, tc.want, string(s), "%q %q", tc.key, tc.end)
	}
}

func TestWhateverEtcdHoldsARequestsRecordIsUTF8(t *testing.T) {
	bad := "\xff\xfe\x00"
	f := &Format{Events: metadata.DefaultEventsConfig(), Body: true}
	b := f.NewBatch((&resource.Builder{}).Cluster(1), time.Now(), 1)
	require.True(t, b.Request(&Request{
		Family: "txn", Operation: "txn", Key: []byte(bad), End: []byte(bad), Name: bad, AuthUser: bad, AuthRole: bad,
		User: bad, Subject: bad, Message: bad, Failed: true,
		Operations: []InnerOperation{{Operation: "put", Key: []byte(bad), End: []byte(bad)}},
	}))
	lr := b.Logs().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
	assert.True(t, utf8.ValidString(lr.Body().Str()))
	for name, value := range lr.Attributes().All() {
		assert.True(t, utf8.ValidString(value.AsString()), name)
	}
}
