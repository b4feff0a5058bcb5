// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bytes"
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/internal/delivery"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

// Bounds say when a batch is full. They are checked between revisions, so one
// huge revision makes a batch that is larger.
type Bounds struct {
	MaxRecords int
	MaxBytes   int
	MaxDelay   time.Duration
}

// batch collects changes until it is full or old enough. It holds whole revisions
// only, whenever it may be flushed.
type batch struct {
	bounds  Bounds
	records *logrecord.Batch // nil while empty
	bytes   int
	first   int64 // revision, 0 while empty
	last    int64
	timer   *time.Timer // runs while the batch is not empty
}

func (f *follower) newBatch() *batch {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return &batch{bounds: f.Batch, timer: timer}
}

// restart empties the batch.
func (b *batch) restart() {
	b.timer.Stop()
	b.records, b.bytes, b.first, b.last = nil, 0, 0, 0
}

func (b *batch) empty() bool { return b.first == 0 }

func (b *batch) full() bool {
	return b.records.Len() >= b.bounds.MaxRecords || b.bytes >= b.bounds.MaxBytes
}

// due delivers when the oldest change has waited for long enough.
func (b *batch) due() <-chan time.Time { return b.timer.C }

// add takes one event in; recorded tells whether it left a record. An event that
// leaves none counts all the same: the position moves past it.
func (b *batch) add(ev *mvccpb.Event, subIndex int, excluded bool) (recorded bool) {
	if b.empty() {
		b.first = ev.Kv.ModRevision
		b.timer.Reset(b.bounds.MaxDelay)
	}
	b.last = ev.Kv.ModRevision
	if excluded || !b.records.Change(ev, subIndex) {
		return false
	}
	b.bytes += len(ev.Kv.Key) + len(ev.Kv.Value)
	if ev.PrevKv != nil {
		b.bytes += len(ev.PrevKv.Value)
	}
	return true
}

// take adds the events of one response, which are whole revisions in order, and
// flushes wherever the batch is full at the end of a revision.
//
// Source: etcd's API guarantees, https://etcd.io/docs/v3.6/learning/api_guarantees/
// (ordered, atomic); the watch does not ask for fragments.
func (f *follower) take(ctx context.Context, events []*mvccpb.Event, pending *batch) error {
	f.Telemetry.ReceiverEtcdEventsReceived.Add(ctx, int64(len(events)), sourceWatch)
	now, subIndex, filtered := time.Now(), 0, 0
	next := max(f.next, pending.last+1) // a revision is never split over two responses
	for _, ev := range events {
		if ev.Kv.ModRevision < next {
			continue // servers before 3.5.22 and 3.6.2 can repeat old events (etcd issue 20221)
		}
		if ev.Kv.ModRevision != pending.last {
			subIndex = 0
			if !pending.empty() && pending.full() {
				if err := f.flush(ctx, pending); err != nil {
					return err
				}
			}
		}
		if pending.empty() {
			pending.records = f.newRecords()
		}
		pending.records.Observed(now)
		if !pending.add(ev, subIndex, f.excluded(ev.Kv.Key)) {
			filtered++
		}
		subIndex++
	}
	if filtered > 0 {
		f.Telemetry.ReceiverEtcdEventsFiltered.Add(ctx, int64(filtered))
	}
	if !pending.empty() && pending.full() {
		return f.flush(ctx, pending)
	}
	return nil
}

func (f *follower) excluded(key []byte) bool {
	for _, prefix := range f.Exclude {
		if bytes.HasPrefix(key, []byte(prefix)) {
			return true
		}
	}
	return false
}

// flush delivers the batch and moves the position behind it.
func (f *follower) flush(ctx context.Context, pending *batch) error {
	if pending.empty() {
		return nil
	}
	if pending.records.Len() > 0 {
		if err := f.Deliver(ctx, pending.records.Logs()); err != nil {
			var refused *delivery.RefusedError
			if !errors.As(err, &refused) {
				return err
			}
			f.lost(ctx, pending, refused)
		}
	}
	f.next = pending.last + 1
	f.tellPosition(ctx, pending.last)
	pending.restart()
	return nil
}

// tellPosition records the last revision that is behind us.
func (f *follower) tellPosition(ctx context.Context, revision int64) {
	f.Telemetry.ReceiverEtcdWatchRevision.Record(ctx, revision, metric.WithAttributes(attribute.String("prefix", f.prefix)))
}

// lastFlush bounds how long the end of a session waits for the pipeline.
const lastFlush = 2 * time.Second

// flushLast delivers what a session that ends still holds. What the pipeline does
// not take in time is read again by the next session.
func (f *follower) flushLast(ctx context.Context, pending *batch) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
	defer cancel()
	if err := f.flush(ctx, pending); err != nil {
		f.Logger.Warn("the last batch was not delivered", zap.Int64("from_revision", pending.first), zap.Int64("to_revision", pending.last), zap.Error(err))
	}
	pending.timer.Stop()
}

func (f *follower) lost(ctx context.Context, pending *batch, refused *delivery.RefusedError) {
	f.Telemetry.ReceiverEtcdEventsLost.Add(ctx, int64(refused.Records), stageRefused)
	f.Logger.Error("changes were refused for good", zap.Error(refused))
	f.gap(ctx, logrecord.Gap{From: pending.first, To: pending.last, Count: refused.Records, Reason: metadata.AttributeEtcdGapReasonRefused})
}

// Attribute sets of the receiver's own telemetry, made once.
var (
	sourceWatch  = metric.WithAttributeSet(attribute.NewSet(attribute.String("source", "watch")))
	stageRefused = metric.WithAttributeSet(attribute.NewSet(attribute.String("stage", "refused")))
)

func (f *follower) countGap(ctx context.Context, reason metadata.AttributeEtcdGapReason) {
	f.Telemetry.ReceiverEtcdWatchGaps.Add(ctx, 1, metric.WithAttributes(attribute.String("reason", reason.String())))
}
