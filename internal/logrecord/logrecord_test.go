// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.yaml.in/yaml/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
	"github.com/etcdreceiver/etcdreceiver/internal/golden"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/redact"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

var (
	n1 = Member{ID: 0x8e9e05c52164694d, Name: "n1"}
	n2 = Member{ID: 0x91bc3c398fb3c146, Name: "n2"}
	at = etcdclient.Endpoint{Scheme: "https", Host: "10.0.0.2", Port: 2379}
)

func put(value, previous string) *Event {
	return &Event{
		KV:      KeyValue{Key: []byte("/config/db/host"), Value: []byte(value), CreateRevision: 12345, ModRevision: 12346, Version: 2, Lease: 0x694d8e9e05c52164},
		HasPrev: true,
		Prev:    KeyValue{Key: []byte("/config/db/host"), Value: []byte(previous), CreateRevision: 12345, ModRevision: 12340, Version: 1},
	}
}

func deletion(previous string) *Event {
	return &Event{
		Delete:  true,
		KV:      KeyValue{Key: []byte("/config/db/host"), ModRevision: 12350},
		HasPrev: true,
		Prev:    KeyValue{Key: []byte("/config/db/host"), Value: []byte(previous), CreateRevision: 12345, ModRevision: 12346, Version: 2, Lease: 0x694d8e9e05c52164},
	}
}

// change and existing append with the event's own identity, as everybody does.
func change(b *Batch, ev *Event, subIndex int) bool { return b.Change(ev, ev.Identity(), subIndex) }

// sign names the author of a change, if there is a record of it.
func sign(b *Batch, recorded bool, a *Author) {
	if recorded {
		b.Sign(0, a)
	}
}

func existing(b *Batch, ev *Event, origin Origin) bool { return b.Existing(ev, ev.Identity(), origin) }

// samples make every record that there is, in all its forms.
var samples = map[string]func(*Format, *Batch){
	"put size": func(f *Format, b *Batch) { change(b, put("db.example.com", "old-db.example.com"), 0) },
	"put text": func(f *Format, b *Batch) {
		f.Values.Policy, f.Values.MaxBytes = redact.Text, 5
		change(b, put("db.example.com", "old-db.example.com"), 3)
	},
	"put binary": func(f *Format, b *Batch) {
		f.Values.Policy = redact.Text
		change(b, put("\xff\x00", "\xfe"), 0)
	},
	"put hash":  func(f *Format, b *Batch) { f.Values.Policy = redact.Hash; change(b, put("hello", "old"), 0) },
	"put none":  func(f *Format, b *Batch) { f.Values.Policy = redact.None; change(b, put("hello", "old"), 0) },
	"put first": func(_ *Format, b *Batch) { ev := put("x", ""); ev.HasPrev, ev.KV.Lease = false, 0; change(b, ev, 0) },
	"put binary key": func(_ *Format, b *Batch) {
		ev := put("x", "")
		ev.KV.Key = []byte("/bin/\xff\x00é")
		change(b, ev, 0)
	},
	"delete": func(_ *Format, b *Batch) { change(b, deletion("db.example.com"), 1) },
	"delete text": func(f *Format, b *Batch) {
		f.Values.Policy, f.Values.MaxBytes = redact.Base64, 2
		change(b, deletion("abc"), 0)
	},
	"delete hash":         func(f *Format, b *Batch) { f.Values.Policy = redact.Hash; change(b, deletion("abc"), 0) },
	"delete without prev": func(_ *Format, b *Batch) { ev := deletion(""); ev.HasPrev = false; change(b, ev, 0) },
	"exists":              func(_ *Format, b *Batch) { existing(b, put("db.example.com", "never shown"), Snapshot) },
	"exists resync text": func(f *Format, b *Batch) {
		f.Values.Policy = redact.Text
		existing(b, put("db.example.com", ""), Resync)
	},
	"exists none": func(f *Format, b *Batch) { f.Values.Policy = redact.None; existing(b, put("hello", ""), Snapshot) },
	"put by": func(_ *Format, b *Batch) {
		sign(b, change(b, put("db.example.com", ""), 0), &Author{
			Source: metadata.AttributeEtcdAuthorSourceRequest, Operation: "txn", User: "deploy-bot", Subject: "deploy-cert",
			Client: netip.MustParseAddrPort("10.0.0.17:50718"), Duration: 41800 * time.Microsecond,
		})
	},
	"put by elsewhere": func(_ *Format, b *Batch) {
		sign(b, change(b, put("db.example.com", ""), 0), &Author{Source: metadata.AttributeEtcdAuthorSourceRaft, Operation: "put", User: "deploy-bot", MemberID: n2.ID, Duration: -1})
	},
	"put by nobody known": func(_ *Format, b *Batch) {
		sign(b, change(b, put("db.example.com", ""), 0), &Author{Source: metadata.AttributeEtcdAuthorSourceRaft, Operation: "put", Duration: -1})
	},
	"delete by": func(_ *Format, b *Batch) {
		sign(b, change(b, deletion("db.example.com"), 0), &Author{
			Source: metadata.AttributeEtcdAuthorSourceRequest, Operation: "delete_range", Subject: "deploy-cert",
			Client: netip.MustParseAddrPort("[fe80::17]:50718"), Duration: 41800 * time.Microsecond, MemberID: n2.ID,
		})
	},
	"delete by a process": func(_ *Format, b *Batch) {
		sign(b, change(b, deletion("db.example.com"), 0), &Author{
			Source: metadata.AttributeEtcdAuthorSourceRequest, Operation: "delete_range", User: "deploy-bot",
			Client: netip.MustParseAddrPort("127.0.0.1:50718"), Process: Process{"etcdctl", 4711}, Duration: 41800 * time.Microsecond,
		})
	},
	"delete by lease": func(_ *Format, b *Batch) {
		sign(b, change(b, deletion("db.example.com"), 0), &Author{
			Source: metadata.AttributeEtcdAuthorSourceLease, Operation: "lease_expire", User: "deploy-bot", Client: netip.MustParseAddrPort("10.0.0.17:50718"),
			Duration: -1, LeaseID: 0x694d8e9e05c52164, Granted: time.Unix(1700000000, 0),
		})
	},
	"delete by lease of nobody known": func(_ *Format, b *Batch) {
		sign(b, change(b, deletion("db.example.com"), 0), &Author{Source: metadata.AttributeEtcdAuthorSourceLease, Operation: "lease_expire", Duration: -1, LeaseID: 0x694d8e9e05c52164})
	},
	"snapshot":                    func(_ *Format, b *Batch) { b.Snapshot("", Snapshot, 678, 12345) },
	"snapshot resync":             func(_ *Format, b *Batch) { b.Snapshot("", Resync, 678, 12) },
	"snapshot of a prefix":        func(_ *Format, b *Batch) { b.Snapshot("/app/", Snapshot, 678, 12345) },
	"snapshot resync of a prefix": func(_ *Format, b *Batch) { b.Snapshot("/app/", Resync, 678, 12) },
	"gap of a prefix": func(_ *Format, b *Batch) {
		b.Gap("/app/\xff", Gap{From: 100, To: 250, Next: 251, Reason: metadata.AttributeEtcdGapReasonCompacted})
	},
	"gap compacted": func(_ *Format, b *Batch) {
		b.Gap("", Gap{From: 100, To: 250, Next: 251, Reason: metadata.AttributeEtcdGapReasonCompacted})
	},
	"gap refused": func(_ *Format, b *Batch) {
		b.Gap("", Gap{From: 100, To: 250, Count: 7, Reason: metadata.AttributeEtcdGapReasonRefused})
	},
	"gap history changed": func(_ *Format, b *Batch) {
		b.Gap("", Gap{From: 100, Reason: metadata.AttributeEtcdGapReasonHistoryChanged})
	},
	"gap checkpoint lost": func(_ *Format, b *Batch) {
		b.Gap("", Gap{To: 250, Next: 251, Reason: metadata.AttributeEtcdGapReasonCheckpointLost})
	},
	"gap of unknown range": func(_ *Format, b *Batch) {
		b.Gap("", Gap{Next: 251, Reason: metadata.AttributeEtcdGapReasonCheckpointLost})
	},
	"gap of authors": func(_ *Format, b *Batch) {
		b.Unnamed("", Gap{From: 100, To: 250, Count: 7, Reason: metadata.AttributeEtcdGapReasonUntraced})
	},
	"gap of authors of a prefix": func(_ *Format, b *Batch) {
		b.Unnamed("/app/", Gap{From: 100, To: 250, Count: 7, Reason: metadata.AttributeEtcdGapReasonOverflow})
	},
	"leader changed":       func(_ *Format, b *Batch) { b.LeaderChanged(n1, n2, 5) },
	"leader lost":          func(_ *Format, b *Batch) { b.LeaderChanged(n1, Member{}, 5) },
	"leader found":         func(_ *Format, b *Batch) { b.LeaderChanged(Member{}, n2, 6) },
	"member added":         func(_ *Format, b *Batch) { b.MemberAdded(n1, metadata.AttributeEtcdMemberTypeLearner) },
	"member added unnamed": func(_ *Format, b *Batch) { b.MemberAdded(Member{ID: n1.ID}, metadata.AttributeEtcdMemberTypeVoter) },
	"member removed":       func(_ *Format, b *Batch) { b.MemberRemoved(n1, metadata.AttributeEtcdMemberTypeVoter) },
	"member promoted":      func(_ *Format, b *Batch) { b.MemberPromoted(n1) },
	"member unreachable":   func(_ *Format, b *Batch) { b.MemberUnreachable(n1, at, "DeadlineExceeded") },
	"member reachable":     func(_ *Format, b *Batch) { b.MemberReachable(n1, at, 12340*time.Millisecond) },
	"member reachable unix": func(_ *Format, b *Batch) {
		b.MemberReachable(n1, etcdclient.Endpoint{Scheme: "unix", Path: "/run/etcd.sock"}, time.Second)
	},
	"peer unreachable": func(_ *Format, b *Batch) {
		b.PeerUnreachable(&PeerLink{n1.Name, n2.ID, n2.Name, netip.MustParseAddrPort("10.0.0.2:2380")}, metadata.AttributeEtcdNetworkEndNoAnswer, time.Unix(1700000000, 0))
	},
	"peer unreachable unnamed": func(_ *Format, b *Batch) {
		b.PeerUnreachable(&PeerLink{From: n1.Name, ID: n2.ID}, metadata.AttributeEtcdNetworkEndOther, time.Unix(1700000000, 0))
	},
	"peer reachable": func(_ *Format, b *Batch) {
		b.PeerReachable(&PeerLink{n1.Name, n2.ID, n2.Name, netip.MustParseAddrPort("[fd00::2]:2380")}, 12340*time.Millisecond)
	},
	"connection refused": func(_ *Format, b *Batch) {
		b.Refused(&Refused{time.Unix(1700000000, 0), metadata.AttributeEtcdNetworkPeerTypeClient, netip.MustParseAddrPort("10.0.0.17:50718"), Process{"curl", 4711}, NoCertificate})
	},
	"connection refused elsewhere": func(_ *Format, b *Batch) {
		b.Refused(&Refused{time.Unix(1700000000, 0), metadata.AttributeEtcdNetworkPeerTypeMember, netip.MustParseAddrPort("[fd00::2]:50718"), Process{}, OtherReason})
	},
	"version changed": func(_ *Format, b *Batch) { b.VersionChanged(n1, "3.5.35", "3.6.16") },
	"sync wal": func(_ *Format, b *Batch) {
		b.SlowSync(&Sync{
			Type: metadata.AttributeEtcdFileTypeWal, Name: "0000000000000001-0000000000000abc.wal", Start: time.Unix(1700000000, 0),
			Duration: 212 * time.Millisecond, Size: 98 << 10, ThreadID: 4712,
			Writers: []Writer{{Process{"dd", 4711}, 120 << 20}, {Process{"kworker/u8:2", 33}, 64 << 10}},
		})
	},
	"sync backend": func(_ *Format, b *Batch) {
		b.SlowSync(&Sync{Type: metadata.AttributeEtcdFileTypeBackend, Name: "db", Duration: 1234567 * time.Microsecond, Size: 3 << 19})
	},
	"sync other": func(_ *Format, b *Batch) {
		b.SlowSync(&Sync{Type: metadata.AttributeEtcdFileTypeOther, Name: "0.tmp", Duration: 212 * time.Millisecond, Size: Absent})
	},
	"alarm raised":  func(_ *Format, b *Batch) { b.AlarmRaised(n1, metadata.AttributeEtcdAlarmTypeNospace) },
	"alarm cleared": func(_ *Format, b *Batch) { b.AlarmCleared(n1, metadata.AttributeEtcdAlarmTypeCorrupt) },
	"member status": func(_ *Format, b *Batch) {
		b.MemberStatus(n1, Status{
			State: metadata.AttributeEtcdMemberStateHealthy, Role: metadata.AttributeEtcdMemberRoleLeader, Version: "3.6.16",
			Leader: n1.ID, Term: 4, Committed: 12346, Applied: 12345, DBSize: 2 << 20, DBUsage: 1 << 20,
		})
	},
	"member status unreachable": func(_ *Format, b *Batch) {
		b.MemberStatus(n1, Status{State: metadata.AttributeEtcdMemberStateUnreachable})
	},
}

func sample(make func(*Format, *Batch)) plog.Logs {
	logs, _ := sampleBytes(make)
	return logs
}

func sampleBytes(make func(*Format, *Batch)) (plog.Logs, int) {
	events := metadata.DefaultEventsConfig()
	events.EtcdMemberStatus.Enabled = true
	f := &Format{Events: events, Body: true, Version: "0.1.0", Values: redact.Rules{Policy: redact.Size, MaxBytes: 1024, Action: redact.Size}}
	res := (&resource.Builder{Attributes: metadata.DefaultResourceAttributesConfig(), ClusterName: "prod"}).Cluster(0xcdf818194e3a8c32)
	b := f.NewBatch(res, time.Unix(1700000000, 0), 1)
	b.Cluster(0xcdf818194e3a8c32)
	make(f, b)
	return b.Logs(), b.Bytes()
}

func TestEveryEventLooksLikeItsGoldenFile(t *testing.T) {
	for name, make := range samples {
		t.Run(name, func(t *testing.T) {
			golden.Logs(t, "events/"+strings.ReplaceAll(name, " ", "_"), sample(make))
		})
	}
}

func TestEmittedEventsAndAttributesAreThoseOfMetadataYAML(t *testing.T) {
	raw, err := os.ReadFile("../../metadata.yaml")
	require.NoError(t, err)
	var declared struct {
		Events map[string]struct{ Attributes []string }
	}
	require.NoError(t, yaml.Unmarshal(raw, &declared))

	emitted := map[string]map[string]bool{}
	for _, make := range samples {
		lr := sample(make).ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
		if emitted[lr.EventName()] == nil {
			emitted[lr.EventName()] = map[string]bool{}
		}
		for k := range lr.Attributes().All() {
			emitted[lr.EventName()][k] = true
		}
		name, _ := lr.Attributes().Get("event.name")
		assert.Equal(t, lr.EventName(), name.Str())
	}
	assert.ElementsMatch(t, slices.Collect(maps.Keys(declared.Events)), slices.Collect(maps.Keys(emitted)))
	for name, event := range declared.Events {
		assert.ElementsMatch(t, event.Attributes, slices.Collect(maps.Keys(emitted[name])), name)
	}
}

func TestASwitchedOffEventLeavesNoRecord(t *testing.T) {
	f := &Format{} // all switches off
	b := f.NewBatch((&resource.Builder{}).Cluster(1), time.Now(), 1)
	for _, make := range samples {
		make(f, b)
	}
	assert.Zero(t, b.Len())
}

func TestWithoutBodyRecordsKeepAllAttributes(t *testing.T) {
	with := sample(samples["put size"]).ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
	f := &Format{Events: metadata.DefaultEventsConfig(), Values: redact.Rules{Policy: redact.Size}}
	b := f.NewBatch((&resource.Builder{}).Cluster(1), time.Now(), 1)
	b.Cluster(0xcdf818194e3a8c32)
	change(b, put("db.example.com", "old-db.example.com"), 0)
	without := b.Logs().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
	assert.Empty(t, without.Body().AsString())
	assert.Equal(t, with.Attributes().AsRaw(), without.Attributes().AsRaw())
}

func TestTheBodyNeverHoldsAValue(t *testing.T) {
	const needle = "needle-in-the-value"
	for _, policy := range []redact.Policy{redact.None, redact.Size, redact.Hash, redact.Text, redact.Base64} {
		f := &Format{Events: metadata.DefaultEventsConfig(), Body: true, Values: redact.Rules{Policy: policy}}
		b := f.NewBatch((&resource.Builder{}).Cluster(1), time.Now(), 2)
		change(b, put(needle, needle), 0)
		change(b, deletion(needle), 0)
		existing(b, put(needle, needle), Snapshot)
		records := b.Logs().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
		for i := range records.Len() {
			assert.NotContains(t, records.At(i).Body().Str(), needle)
		}
	}
}

func TestOrderOfChangesIsKept(t *testing.T) {
	f := &Format{Events: metadata.DefaultEventsConfig()}
	b := f.NewBatch((&resource.Builder{}).Cluster(1), time.Now(), 3)
	change(b, put("a", ""), 0)
	change(b, deletion("a"), 1)
	change(b, put("b", ""), 2)
	records := b.Logs().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	var names []string
	for i := range records.Len() {
		names = append(names, records.At(i).EventName())
	}
	assert.Equal(t, []string{eventPut, eventDelete, eventPut}, names)
}

// The strings of records share memory with each other, never with the event.
func TestRecordsKeepTheirStringsWhateverFollows(t *testing.T) {
	f := &Format{Events: metadata.DefaultEventsConfig(), Body: true, Values: redact.Rules{Policy: redact.Text}}
	b := f.NewBatch((&resource.Builder{}).Cluster(1), time.Now(), 0)
	const n = 300
	for i := range n {
		value := strings.Repeat(strconv.Itoa(i%10), i*i%2000) // some longer than a chunk, some empty
		ev := put(value, "old "+value)
		ev.KV.Key = fmt.Appendf(nil, "/key/%d", i)
		require.True(t, change(b, ev, i))
		clear(ev.KV.Key)
		clear(ev.KV.Value)
		clear(ev.Prev.Value)
	}
	records := b.Logs().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	require.Equal(t, n, records.Len())
	for i := range n {
		value := strings.Repeat(strconv.Itoa(i%10), i*i%2000)
		lr := records.At(i)
		attrs := lr.Attributes().AsRaw()
		key := fmt.Sprintf("/key/%d", i)
		assert.Equal(t, key, attrs["etcd.key"])
		assert.Equal(t, value, attrs["etcd.kv.value"])
		assert.Equal(t, "old "+value, attrs["etcd.kv.prev_value"])
		assert.Equal(t, fmt.Sprintf("put %s rev 12346 (%d B, version 2)", key, len(value)), lr.Body().Str())
	}
}

// Most of what a record costs is allocations, and pdata needs one for the record,
// one for all attributes and one for each value. We add next to none.
func TestARecordAllocatesWhatPdataNeedsAndNoMore(t *testing.T) {
	gone := deletion("old")
	for name, tc := range map[string]struct {
		policy redact.Policy
		ev     *Event
	}{"size": {redact.Size, put("new", "old")}, "text": {redact.Text, put("new", "old")}, "hash": {redact.Hash, put("new", "old")}, "delete": {redact.Size, gone}} {
		f := &Format{Events: metadata.DefaultEventsConfig(), Body: true, Values: redact.Rules{Policy: tc.policy}}
		res := (&resource.Builder{}).Cluster(1)
		const n = 1000
		var b *Batch
		allocs := testing.AllocsPerRun(3, func() {
			b = f.NewBatch(res, time.Now(), n)
			for i := range n {
				change(b, tc.ev, i)
			}
		})
		values := b.records.At(0).Attributes().Len() + 1 // and the body
		assert.InDelta(t, 2+values, allocs/n, 0.2, name)
	}
}

func FuzzKeyTextIsAlwaysUTF8AndLosesNothing(f *testing.F) {
	f.Add([]byte("/config/db"))
	f.Add([]byte("\xff\x00é"))
	f.Fuzz(func(t *testing.T, key []byte) {
		text := string(appendKey(nil, key))
		require.True(t, utf8.ValidString(text))
		if utf8.Valid(key) {
			require.Equal(t, string(key), text)
		} else {
			require.Contains(t, text, `\x`)
			require.GreaterOrEqual(t, len(text), len(key))
		}
	})
}
