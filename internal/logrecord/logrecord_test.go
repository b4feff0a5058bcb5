// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
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

func put(value, previous string) *mvccpb.Event {
	return &mvccpb.Event{
		Kv: &mvccpb.KeyValue{Key: []byte("/config/db/host"), Value: []byte(value), CreateRevision: 12345, ModRevision: 12346, Version: 2, Lease: 0x694d8e9e05c52164},
		PrevKv: &mvccpb.KeyValue{
			Key: []byte("/config/db/host"), Value: []byte(previous), CreateRevision: 12345, ModRevision: 12340, Version: 1,
		},
	}
}

func deletion(previous string) *mvccpb.Event {
	return &mvccpb.Event{
		Type:   mvccpb.DELETE,
		Kv:     &mvccpb.KeyValue{Key: []byte("/config/db/host"), ModRevision: 12350},
		PrevKv: &mvccpb.KeyValue{Key: []byte("/config/db/host"), Value: []byte(previous), CreateRevision: 12345, ModRevision: 12346, Version: 2, Lease: 0x694d8e9e05c52164},
	}
}

// samples make every record that there is, in all its forms.
var samples = map[string]func(*Format, *Batch){
	"put size": func(f *Format, b *Batch) { b.Change(put("db.example.com", "old-db.example.com"), 0) },
	"put text": func(f *Format, b *Batch) {
		f.Values.Policy, f.Values.MaxBytes = redact.Text, 5
		b.Change(put("db.example.com", "old-db.example.com"), 3)
	},
	"put binary": func(f *Format, b *Batch) {
		f.Values.Policy = redact.Text
		b.Change(put("\xff\x00", "\xfe"), 0)
	},
	"put hash":  func(f *Format, b *Batch) { f.Values.Policy = redact.Hash; b.Change(put("hello", "old"), 0) },
	"put none":  func(f *Format, b *Batch) { f.Values.Policy = redact.None; b.Change(put("hello", "old"), 0) },
	"put first": func(_ *Format, b *Batch) { ev := put("x", ""); ev.PrevKv, ev.Kv.Lease = nil, 0; b.Change(ev, 0) },
	"put binary key": func(_ *Format, b *Batch) {
		ev := put("x", "")
		ev.Kv.Key = []byte("/bin/\xff\x00é")
		b.Change(ev, 0)
	},
	"delete": func(_ *Format, b *Batch) { b.Change(deletion("db.example.com"), 1) },
	"delete text": func(f *Format, b *Batch) {
		f.Values.Policy, f.Values.MaxBytes = redact.Base64, 2
		b.Change(deletion("abc"), 0)
	},
	"delete hash":         func(f *Format, b *Batch) { f.Values.Policy = redact.Hash; b.Change(deletion("abc"), 0) },
	"delete without prev": func(_ *Format, b *Batch) { ev := deletion(""); ev.PrevKv = nil; b.Change(ev, 0) },
	"gap compacted": func(_ *Format, b *Batch) {
		b.Gap(Gap{From: 100, To: 250, Reason: metadata.AttributeEtcdGapReasonCompacted})
	},
	"gap refused": func(_ *Format, b *Batch) {
		b.Gap(Gap{From: 100, To: 250, Count: 7, Reason: metadata.AttributeEtcdGapReasonRefused})
	},
	"gap history changed": func(_ *Format, b *Batch) {
		b.Gap(Gap{From: 100, Reason: metadata.AttributeEtcdGapReasonHistoryChanged})
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
	"version changed": func(_ *Format, b *Batch) { b.VersionChanged(n1, "3.5.35", "3.6.16") },
	"alarm raised":    func(_ *Format, b *Batch) { b.AlarmRaised(n1, metadata.AttributeEtcdAlarmTypeNospace) },
	"alarm cleared":   func(_ *Format, b *Batch) { b.AlarmCleared(n1, metadata.AttributeEtcdAlarmTypeCorrupt) },
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
	events := metadata.DefaultEventsConfig()
	events.EtcdMemberStatus.Enabled = true
	f := &Format{Events: events, Body: true, Version: "0.1.0", Values: redact.Rules{Policy: redact.Size, MaxBytes: 1024, Action: redact.Size}}
	res := (&resource.Builder{Attributes: metadata.DefaultResourceAttributesConfig(), ClusterName: "prod"}).Cluster(0xcdf818194e3a8c32)
	b := f.NewBatch(res, time.Unix(1700000000, 0), 1)
	make(f, b)
	return b.Logs()
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
	b.Change(put("db.example.com", "old-db.example.com"), 0)
	without := b.Logs().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
	assert.Empty(t, without.Body().AsString())
	assert.Equal(t, with.Attributes().AsRaw(), without.Attributes().AsRaw())
}

func TestTheBodyNeverHoldsAValue(t *testing.T) {
	const needle = "needle-in-the-value"
	for _, policy := range []redact.Policy{redact.None, redact.Size, redact.Hash, redact.Text, redact.Base64} {
		f := &Format{Events: metadata.DefaultEventsConfig(), Body: true, Values: redact.Rules{Policy: policy}}
		b := f.NewBatch((&resource.Builder{}).Cluster(1), time.Now(), 2)
		b.Change(put(needle, needle), 0)
		b.Change(deletion(needle), 0)
		records := b.Logs().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
		for i := range records.Len() {
			assert.NotContains(t, records.At(i).Body().Str(), needle)
		}
	}
}

func TestOrderOfChangesIsKept(t *testing.T) {
	f := &Format{Events: metadata.DefaultEventsConfig()}
	b := f.NewBatch((&resource.Builder{}).Cluster(1), time.Now(), 3)
	b.Change(put("a", ""), 0)
	b.Change(deletion("a"), 1)
	b.Change(put("b", ""), 2)
	records := b.Logs().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	var names []string
	for i := range records.Len() {
		names = append(names, records.At(i).EventName())
	}
	assert.Equal(t, []string{eventPut, eventDelete, eventPut}, names)
}

func FuzzKeyTextIsAlwaysUTF8AndLosesNothing(f *testing.F) {
	f.Add([]byte("/config/db"))
	f.Add([]byte("\xff\x00é"))
	f.Fuzz(func(t *testing.T, key []byte) {
		text := keyText(key)
		require.True(t, utf8.ValidString(text))
		if utf8.Valid(key) {
			require.Equal(t, string(key), text)
		} else {
			require.Contains(t, text, `\x`)
			require.GreaterOrEqual(t, len(text), len(key))
		}
	})
}

func BenchmarkChange(b *testing.B) {
	f := &Format{Events: metadata.DefaultEventsConfig(), Body: true, Values: redact.Rules{Policy: redact.Size, MaxBytes: 1024, Action: redact.Size}}
	f.Values.Keys, _ = redact.Compile([]string{"^/registry/secrets/", "(?i)(password|passwd|secret|token|credential)"})
	res := (&resource.Builder{}).Cluster(1)
	ev := put(strings.Repeat("v", 100), strings.Repeat("v", 100))
	const size = 1024
	b.ReportAllocs()
	for b.Loop() {
		batch := f.NewBatch(res, time.Now(), size)
		for i := range size {
			batch.Change(ev, i)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/size, "ns/event")
}
