// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/redact"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// batchOf is the number of records of a batch in all benchmarks here.
const batchOf = 1000

// collectorHeap is what a running collector holds at least. How often the garbage
// collector runs depends on it: in the empty heap of a test it runs every few
// batches and costs as much as the records do.
const collectorHeap = 64 << 20

// benchmarkEvents are changes of different keys, 30 bytes each, with 100-byte values.
func benchmarkEvents() []Event {
	events := make([]Event, batchOf)
	value := []byte(strings.Repeat("v", 100))
	for i := range events {
		key := fmt.Appendf(nil, "/config/service-%05d/database/x", i)[:30]
		events[i] = Event{
			KV:      KeyValue{Key: key, Value: value, CreateRevision: 1_000_000, ModRevision: 1_234_000 + int64(i), Version: 7},
			HasPrev: true,
			Prev:    KeyValue{Key: key, Value: value, CreateRevision: 1_000_000, ModRevision: 1_200_000 + int64(i), Version: 6},
		}
	}
	return events
}

func perEvent(b *testing.B, heap int, batch func()) {
	ballast := make([]byte, heap)
	for range 200 { // let the heap reach its size: fresh memory costs several times as much
		batch()
	}
	b.ReportAllocs()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for b.Loop() {
		batch()
	}
	runtime.ReadMemStats(&after)
	n := float64(b.N) * batchOf
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/event")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/n, "allocs/event")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/n, "B/event")
	runtime.KeepAlive(ballast)
}

type setup struct {
	format Format
	events []Event
	heap   int
	change func(*Batch, *Event, int)
}

// become makes all changes those of the first recorded object below prefix.
func (s *setup) become(b *testing.B, prefix string) {
	s.format.Kubernetes = registry
	for _, o := range recorded(b) {
		if strings.HasPrefix(o.Key, prefix) {
			for i := range s.events {
				e := &s.events[i]
				e.KV.Key, e.KV.Value, e.Prev.Key, e.Prev.Value = []byte(o.Key), o.Value, []byte(o.Key), o.Value
			}
			return
		}
	}
	b.Fatal("nothing is recorded below ", prefix)
}

func BenchmarkChange(b *testing.B) {
	patterns, err := redact.Compile([]string{"^/registry/secrets/", "(?i)(password|passwd|secret|token|credential)"})
	require.NoError(b, err)
	for _, tc := range []struct {
		name string
		set  func(*setup)
	}{
		{"default", func(*setup) {}},
		{"default small heap", func(s *setup) { s.heap = 0 }},
		{"default and identity", func(s *setup) { s.change = func(b *Batch, e *Event, i int) { change(b, e, i) } }},
		{"body none", func(s *setup) { s.format.Body = false }},
		{"no previous", func(s *setup) {
			for i := range s.events {
				s.events[i].HasPrev = false
			}
		}},
		{"lease", func(s *setup) {
			for i := range s.events {
				s.events[i].KV.Lease = 1 << 60
			}
		}},
		{"policy none", func(s *setup) { s.format.Values.Policy = redact.None }},
		{"policy hash", func(s *setup) { s.format.Values.Policy = redact.Hash }},
		{"policy text", func(s *setup) { s.format.Values.Policy = redact.Text }},
		{"redacted size", func(s *setup) { s.format.Values.Keys = patterns }},
		{"redacted text", func(s *setup) { s.format.Values.Policy, s.format.Values.Keys = redact.Text, patterns }},
		{"existing", func(s *setup) { s.change = func(b *Batch, e *Event, _ int) { b.Existing(e, 1, Snapshot) } }},
		{"Kubernetes, other keys", func(s *setup) { s.format.Kubernetes = registry }},
		{"Kubernetes pod", func(s *setup) { s.become(b, "/registry/pods/") }},
		{"Kubernetes pod, undecoded", func(s *setup) { s.become(b, "/registry/pods/"); s.format.Kubernetes = Kubernetes{} }},
		{"Kubernetes custom resource", func(s *setup) { s.become(b, "/registry/example.com/widgets/") }},
		{"Kubernetes secret", func(s *setup) { s.become(b, "/registry/secrets/") }},
		{"delete", func(s *setup) {
			for i := range s.events {
				s.events[i].Delete = true
			}
		}},
	} {
		b.Run(tc.name, func(b *testing.B) {
			s := setup{
				format: Format{Events: metadata.DefaultEventsConfig(), Body: true, Values: redact.Rules{Policy: redact.Size, MaxBytes: 1024, Action: redact.Size}},
				events: benchmarkEvents(),
				heap:   collectorHeap,
				change: func(b *Batch, e *Event, i int) { b.Change(e, uint64(i), i) },
			}
			tc.set(&s)
			res := (&resource.Builder{Attributes: metadata.DefaultResourceAttributesConfig()}).Cluster(1)
			perEvent(b, s.heap, func() {
				batch := s.format.NewBatch(res, time.Unix(1700000000, 0), batchOf)
				for i := range s.events {
					s.change(batch, &s.events[i], i)
				}
			})
		})
	}
}

// BenchmarkParts tells what the parts of the default record cost: each row is the
// whole so far, and the last ones stand alone.
func BenchmarkParts(b *testing.B) {
	events := benchmarkEvents()
	str := func(name string) func(plog.LogRecord) {
		return func(lr plog.LogRecord) { lr.Attributes().PutStr(name, eventPut) }
	}
	parts := []struct {
		name string
		put  func(plog.LogRecord)
	}{
		{"record", func(plog.LogRecord) {}},
		{"room for 10 attributes", func(lr plog.LogRecord) { lr.Attributes().EnsureCapacity(10) }},
		{"7 numbers", func(lr plog.LogRecord) {
			for _, name := range []string{
				"etcd.kv.create_revision", "etcd.kv.mod_revision", "etcd.kv.sub_index", "etcd.kv.version",
				"etcd.kv.value_size", "etcd.kv.prev_mod_revision", "etcd.kv.prev_value_size",
			} {
				lr.Attributes().PutInt(name, 1_000_000)
			}
		}},
		{"event.name", str("event.name")},
		{"key", str("etcd.key")},
		{"uid", str("log.record.uid")},
		{"body", func(lr plog.LogRecord) { lr.Body().SetStr(eventPut) }},
	}
	for i, last := range parts {
		b.Run(last.name, func(b *testing.B) {
			f := Format{}
			perEvent(b, collectorHeap, func() {
				batch := f.NewBatch(pcommon.NewResource(), time.Unix(1700000000, 0), batchOf)
				for range batchOf {
					lr := batch.records.AppendEmpty()
					for _, part := range parts[:i+1] {
						part.put(lr)
					}
				}
			})
		})
	}

	alone := func(name string, do func(*Event, int)) {
		b.Run("alone/"+name, func(b *testing.B) {
			perEvent(b, collectorHeap, func() {
				for i := range events {
					do(&events[i], i)
				}
			})
		})
	}
	var t text
	var sum uint64
	var kept shelf
	alone("identity", func(e *Event, _ int) { sum += e.Identity() })
	alone("text of uid", func(e *Event, i int) { t = t[:0]; t.uid(e.KV.ModRevision, uint64(i), 1) })
	alone("text of key", func(e *Event, _ int) { t = t[:0]; t.key(e.KV.Key) })
	alone("text of key and sentence", func(e *Event, _ int) {
		t = t[:0]
		t.sentenceOfPut(true, &e.KV, part{}, shown{Value: redact.Value{Facts: redact.Length, Size: 100}}, Watch, &object{})
	})
	alone("keep", func(_ *Event, i int) {
		kept.keep(append(t[:0], "put /config/service-00000/databas rev 1234000 (100 B, version 7)1234000-0123456789abcdef"...), i)
	})
}
