// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/redact"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

func TestIdentityDependsOnAllThatEtcdSaysOfTheChangeAndOnNothingElse(t *testing.T) {
	id := put("value", "previous").Identity()
	assert.Equal(t, id, put("value", "previous").Identity())

	seen := map[uint64]string{id: "unchanged"}
	for what, do := range map[string]func(*Event){
		"key":             func(e *Event) { e.KV.Key = []byte("/config/db/hosu") },
		"key and value":   func(e *Event) { e.KV.Key, e.KV.Value = []byte("/config/db/hostv"), []byte("alue") },
		"value":           func(e *Event) { e.KV.Value = []byte("valuf") },
		"empty value":     func(e *Event) { e.KV.Value = nil },
		"create revision": func(e *Event) { e.KV.CreateRevision++ },
		"mod revision":    func(e *Event) { e.KV.ModRevision++ },
		"version":         func(e *Event) { e.KV.Version++ },
		"lease":           func(e *Event) { e.KV.Lease++ },
		"delete":          func(e *Event) { e.Delete = true },
		// The same amount elsewhere.
		"create for mod revision": func(e *Event) { e.KV.CreateRevision, e.KV.ModRevision = e.KV.ModRevision, e.KV.CreateRevision },
		"version for lease":       func(e *Event) { e.KV.Version, e.KV.Lease = e.KV.Lease, e.KV.Version },
	} {
		ev := put("value", "previous")
		do(ev)
		assert.Empty(t, seen[ev.Identity()], "%s makes no difference", what)
		seen[ev.Identity()] = what
	}
	for what, do := range map[string]func(*Event){
		"no previous value":      func(e *Event) { e.HasPrev, e.Prev = false, KeyValue{} },
		"another previous value": func(e *Event) { e.Prev.Value = []byte("x") },
	} {
		ev := put("value", "previous")
		do(ev)
		assert.Equal(t, id, ev.Identity(), what)
	}
}

// In two collectors, or before and after an update, the same change has to have
// the same identity: these numbers may not change without need.
func TestIdentityAndUIDAreTheSameForever(t *testing.T) {
	assert.Equal(t, "12346-0f0243bb25dd24e2", uidOf(t, 0xcdf818194e3a8c32, func(b *Batch) { change(b, put("value", "previous"), 0) }))
	assert.Equal(t, "12350-d7b03f9aad11aa87", uidOf(t, 0xcdf818194e3a8c32, func(b *Batch) { change(b, deletion("previous"), 0) }))
}

func TestAnExistingKeyHasTheUIDOfThePutThatMadeIt(t *testing.T) {
	of := func(cluster uint64, append func(*Batch)) string { return uidOf(t, cluster, append) }
	asPut := of(7, func(b *Batch) { change(b, put("value", "previous"), 3) })
	read := put("value", "")
	read.HasPrev = false
	for _, origin := range []Origin{Snapshot, Resync} {
		assert.Equal(t, asPut, of(7, func(b *Batch) { existing(b, read, origin) }))
	}
	assert.NotEqual(t, asPut, of(8, func(b *Batch) { existing(b, read, Resync) }), "another cluster")
	assert.NotEqual(t, asPut, of(7, func(b *Batch) { existing(b, put("other", ""), Resync) }), "another value")
	assert.Regexp(t, "^12346-[0-9a-f]{16}$", asPut)
}

func uidOf(t *testing.T, cluster uint64, append func(*Batch)) string {
	b := (&Format{Events: metadata.DefaultEventsConfig()}).NewBatch((&resource.Builder{}).Cluster(cluster), time.Now(), 1)
	b.Cluster(cluster)
	append(b)
	uid, ok := b.Logs().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Attributes().Get("log.record.uid")
	require.True(t, ok)
	return uid.Str()
}

func TestBytesIsCloseToWhatOTLPTakes(t *testing.T) {
	long := strings.Repeat("v", 1000)
	first := put("x", "")
	first.HasPrev, first.KV.Lease = false, 0
	longKey := put(long, long)
	longKey.KV.Key = []byte(strings.Repeat("/key", 100))
	binaryKey := put("x", "y")
	binaryKey.KV.Key = []byte(strings.Repeat("\xff", 100))
	gone := deletion("")
	gone.HasPrev = false
	for name, ev := range map[string]*Event{
		"put": put(strings.Repeat("v", 100), strings.Repeat("v", 100)), "long value": put(long, long), "first put": first,
		"long key": longKey, "binary key": binaryKey, "delete": deletion(long), "delete without prev": gone,
	} {
		for _, policy := range []redact.Policy{redact.None, redact.Size, redact.Hash, redact.Text, redact.Base64} {
			for _, body := range []bool{true, false} {
				f := &Format{Events: metadata.DefaultEventsConfig(), Body: body, Values: redact.Rules{Policy: policy}}
				b := f.NewBatch((&resource.Builder{}).Cluster(1), time.Now(), 10)
				assert.Zero(t, b.Bytes())
				before := 0
				for i := range 5 {
					change(b, ev, i)
					assert.Greater(t, b.Bytes(), before)
					before = b.Bytes()
					if !ev.Delete {
						existing(b, ev, Snapshot)
						assert.Greater(t, b.Bytes(), before)
						before = b.Bytes()
					}
				}
				assert.InEpsilon(t, (&plog.ProtoMarshaler{}).LogsSize(b.Logs()), b.Bytes(), 0.2, "%s, %s, body %t", name, policy, body)
			}
		}
	}
	for name, make := range samples {
		logs, bytes := sampleBytes(make)
		real := (&plog.ProtoMarshaler{}).LogsSize(logs) // one record, so the resource is half of it
		assert.Greater(t, bytes, real/3, name)
		assert.LessOrEqual(t, bytes, real, name)
	}
}
