// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/redact"
)

// Format is what the user configured about log records.
type Format struct {
	// Events are the switches of single events.
	Events metadata.EventsConfig
	// Body tells whether records carry a sentence for people.
	Body bool
	// Values says what of a value may leave the host.
	Values redact.Rules
	// Kubernetes says of which keys what they are as objects is told.
	Kubernetes Kubernetes
	// Version of the receiver, for the scope.
	Version string
}

// Batch is log records about one resource, in the order they were appended. It
// belongs to one goroutine.
type Batch struct {
	format   *Format
	logs     plog.Logs
	records  plog.LogRecordSlice
	observed pcommon.Timestamp
	cluster  uint64
	bytes    int
	scratch  text // reused from record to record
	strings  shelf
}

// NewBatch starts a batch for about capacity records, observed at now. The
// resource is copied.
func (f *Format) NewBatch(res pcommon.Resource, now time.Time, capacity int) *Batch {
	logs := plog.NewLogs()
	rl := logs.ResourceLogs().AppendEmpty()
	res.CopyTo(rl.Resource())
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName(metadata.ScopeName)
	sl.Scope().SetVersion(f.Version)
	sl.LogRecords().EnsureCapacity(capacity)
	return &Batch{format: f, logs: logs, records: sl.LogRecords(), observed: pcommon.NewTimestampFromTime(now)}
}

// Observed sets the time at which the records that follow were observed.
func (b *Batch) Observed(now time.Time) { b.observed = pcommon.NewTimestampFromTime(now) }

// Cluster sets the cluster that the changes that follow are of. It is part of
// log.record.uid: two clusters can have the same change.
func (b *Batch) Cluster(id uint64) { b.cluster = id }

// Bytes is about how many bytes of OTLP the records are so far.
func (b *Batch) Bytes() int { return b.bytes }

// Len is the number of records.
func (b *Batch) Len() int { return b.records.Len() }

// Keep removes the records for which wanted, which is given their number, is false.
func (b *Batch) Keep(wanted func(nr int) bool) {
	nr := -1
	b.records.RemoveIf(func(plog.LogRecord) bool {
		nr++
		return !wanted(nr)
	})
}

// Logs are the records. The batch must not be used any more.
func (b *Batch) Logs() plog.Logs { return b.logs }

// add appends a record with room for that many attributes.
//
// The attribute event.name repeats the EventName because a common backend
// (VictoriaLogs 1.121, tested) drops the latter.
func (b *Batch) add(name string, severity plog.SeverityNumber, attributes int) plog.LogRecord {
	lr := b.records.AppendEmpty()
	lr.SetEventName(name)
	lr.SetObservedTimestamp(b.observed)
	lr.SetSeverityNumber(severity)
	lr.SetSeverityText(severityText(severity))
	lr.Attributes().EnsureCapacity(attributes + 1)
	lr.Attributes().PutStr("event.name", name)
	return lr
}

func severityText(s plog.SeverityNumber) string {
	switch s {
	case plog.SeverityNumberWarn:
		return "WARN"
	case plog.SeverityNumberError:
		return "ERROR"
	default:
		return "INFO"
	}
}

// say completes a record: the sentence is its body, if the user wants one.
func (b *Batch) say(lr plog.LogRecord, sentence []byte) {
	if b.format.Body {
		lr.Body().SetStr(string(sentence))
	}
	b.scratch = sentence[:0]
	b.bytes += (&plog.ProtoMarshaler{}).LogRecordSize(lr)
}

// keep makes the text a string and is ready for the next.
func (b *Batch) keep(t text) string {
	b.scratch = t[:0]
	return b.strings.keep(t, b.records.Len())
}
