// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/internal/checkpoint"
	"github.com/etcdreceiver/etcdreceiver/internal/delivery"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

// Bounds say when a batch is full. They are checked between revisions; a revision
// that alone is larger than two batches, and than WholeRecords or WholeBytes, goes
// out in parts.
type Bounds struct {
	MaxRecords int
	MaxBytes   int // of records, estimated
	MaxDelay   time.Duration
	// See the constants.
	WholeRecords, WholeBytes int
}

// reached tells whether records are as many as a batch should have.
func (b Bounds) reached(records *logrecord.Batch) bool {
	return records != nil && (records.Len() >= b.MaxRecords || records.Bytes() >= b.MaxBytes)
}

// A revision up to this is never split, however small the batches are. A
// transaction has 128 operations unless etcd was told otherwise, but one range
// delete or one expired lease is one revision with any number of deletes. Memory
// must be bounded, and a gRPC backend refuses a message above 4 MiB, so such a
// revision is not kept in one piece.
const (
	WholeRecords = 2048
	WholeBytes   = 2 << 20
)

// batch collects changes until it is full or old enough.
type batch struct {
	bounds  Bounds
	records *logrecord.Batch // nil while there is none
	first   int64            // revision of the first change, 0 while there is none
	// through is the last revision that is whole here or was delivered: what a flush
	// moves the position behind.
	through int64
	timer   *time.Timer // runs while there are changes
	// unsigned are the changes of which it is not looked up yet who made them.
	unsigned *unsigned // nil if nobody tells

	// Of the revision that is being read; it is open until through reaches it.
	revision   int64
	subIndex   int
	startLen   int
	startBytes int
	// print is of the open revision. Its key is that of the last change that is not left out, in this revision or before,
	// since the checkpoint stores it: it has changed no more.
	print checkpoint.Fingerprint
}

func (f *follower) newBatch() *batch {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	b := &batch{bounds: f.Batch, timer: timer, through: f.next - 1}
	if f.Window != nil {
		b.unsigned = &unsigned{}
	}
	if f.print != nil {
		b.print.Key, b.print.Deleted, b.print.Value = slices.Clone(f.print.Key), f.print.Deleted, f.print.Value
	}
	return b
}

func (b *batch) restart() {
	b.timer.Stop()
	b.unsigned.reset()
	b.records, b.first, b.startLen, b.startBytes = nil, 0, 0, 0
}

func (b *batch) len() int {
	if b.records == nil {
		return 0
	}
	return b.records.Len()
}

func (b *batch) bytes() int {
	if b.records == nil {
		return 0
	}
	return b.records.Bytes()
}

func (b *batch) full() bool { return b.bounds.reached(b.records) }

// huge tells whether the open revision alone is more than a batch should be.
func (b *batch) huge() bool {
	return b.len()-b.startLen >= max(2*b.bounds.MaxRecords, b.bounds.WholeRecords) || b.bytes()-b.startBytes >= max(2*b.bounds.MaxBytes, b.bounds.WholeBytes)
}

// open tells whether the last revision may go on in the next response.
func (b *batch) open() bool { return b.revision > b.through }

// due delivers when the oldest change has waited for long enough.
func (b *batch) due() <-chan time.Time { return b.timer.C }

// begin starts a revision, which makes the one before whole.
func (b *batch) begin(revision int64) {
	b.through = max(b.through, revision-1)
	b.revision, b.subIndex, b.startLen, b.startBytes = revision, 0, b.len(), b.bytes()
	b.print.Revision, b.print.Hash = revision, 0
	if b.first == 0 {
		b.first = revision
		b.timer.Reset(b.bounds.MaxDelay)
	}
}

// end makes the revision that is being read whole.
func (b *batch) end() { b.through = max(b.through, b.revision) }

// see takes a change into the fingerprint, also one that is excluded or was delivered before.
func (b *batch) see(ev *logrecord.Event, identity uint64, excluded bool) {
	b.print.Hash += checkpoint.Hex(identity)
	if excluded {
		return
	}
	b.print.Key = append(b.print.Key[:0], ev.KV.Key...)
	b.print.Value, b.print.Deleted = checkpoint.Hex(identity), ev.Delete
	if ev.Delete {
		b.print.Value = 0
	}
}

// add takes a change in. It leaves no record if it is left out or switched off; the
// position moves past it all the same.
func (b *batch) add(ev *logrecord.Event, identity uint64, left bool) (recorded bool) {
	if recorded = !left && b.records.Change(ev, identity, b.subIndex); recorded {
		b.unsigned.add(b.records.Len()-1, ev)
	}
	b.subIndex++
	return recorded
}

// noLimit is no limit of take.
const noLimit = math.MaxInt64

// errLimit ends the reading of a response at the limit.
var errLimit = errors.New("limit")

// take adds the changes of one response up to the revision limit, in their order,
// and flushes where the batch is full at the end of a revision. A response holds
// whole revisions, or is one of several fragments.
//
// Source: etcd's API guarantees, https://etcd.io/docs/v3.6/learning/api_guarantees/
// (ordered, atomic).
func (s *session) take(ctx context.Context, r *response, burst *burst, limit int64) error {
	b, now, received, filtered := s.pending, time.Now(), 0, 0
	err := r.each(func(ev *logrecord.Event) error {
		revision, identity := ev.KV.ModRevision, ev.Identity()
		if revision > limit {
			return errLimit
		}
		if err := s.recognise(ctx, revision, r.header.revision); err != nil {
			return err
		}
		if revision <= b.through {
			// Asked for to recognise the history; or a server before 3.5.22 and 3.6.2, which can repeat old events (etcd issue 20221).
			s.resumed.see(ev, identity)
			return nil
		}
		if err := s.enter(ctx, revision); err != nil {
			return err
		}
		burst.see(revision)
		if b.records == nil {
			b.records = s.newRecords(min(s.Batch.MaxRecords, 1024))
		}
		b.records.Observed(now)
		excluded := s.excluded(ev.KV.Key)
		b.see(ev, identity, excluded)
		if revision == s.part.revision && b.subIndex < s.part.changes {
			b.add(ev, identity, true) // an earlier session delivered it
			return nil
		}
		received++
		if !b.add(ev, identity, excluded) {
			filtered++
		}
		return nil
	})
	b.unsigned.arrived(now)
	s.Telemetry.ReceiverEtcdEventsReceived.Add(ctx, int64(received), sourceWatch)
	if filtered > 0 {
		s.Telemetry.ReceiverEtcdEventsFiltered.Add(ctx, int64(filtered))
	}
	if err != nil && !errors.Is(err, errLimit) {
		return err
	}
	if r.fragment && err == nil {
		return nil
	}
	b.end()
	if err := s.recognise(ctx, r.last+1, r.header.revision); err != nil {
		return err
	}
	if b.full() {
		return s.flush(ctx)
	}
	return nil
}

// enter makes the batch ready for the next change, which is of that revision.
func (s *session) enter(ctx context.Context, revision int64) error {
	b := s.pending
	switch {
	case revision < b.revision:
		return fmt.Errorf("revision %d came after revision %d", revision, b.revision)
	case revision == b.revision && b.huge():
		return s.flushPart(ctx)
	case revision == b.revision:
		return nil
	}
	b.end()
	if b.full() {
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	b.begin(revision)
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

func (f *follower) newRecords(capacity int) *logrecord.Batch {
	records := f.Format.NewBatch(f.resource, time.Now(), capacity)
	records.Cluster(f.clusterID)
	return records
}

// flush delivers the batch, which holds whole revisions only, and moves the
// position behind it.
func (s *session) flush(ctx context.Context) error {
	b := s.pending
	if b.open() {
		return nil // the position cannot move into a revision
	}
	batch := s.sign(ctx)
	if err := s.deliver(ctx, b.records, logrecord.Gap{From: b.first, To: b.through, Next: b.through + 1}); err != nil {
		return err
	}
	s.signed(ctx, batch)
	if b.print.Revision != 0 {
		print := b.print
		print.Key = slices.Clone(print.Key)
		s.print, s.printGone, b.print.Revision = &print, false, 0
	}
	b.restart()
	if b.through >= s.next {
		s.next = b.through + 1
		s.moved(ctx)
	}
	if err := s.tellUnnamed(ctx, false); err != nil {
		return err
	}
	if s.streams.Err() != nil && ctx.Err() == nil {
		return errReopen // it was let go while the pipeline blocked
	}
	return nil
}

// flushPart delivers what the batch has of a huge revision. The position stays
// before it.
func (s *session) flushPart(ctx context.Context) error {
	b := s.pending
	batch := s.sign(ctx)
	if err := s.deliver(ctx, b.records, logrecord.Gap{From: b.first, To: b.revision}); err != nil {
		return err
	}
	s.signed(ctx, batch)
	s.part = part{b.revision, b.subIndex}
	b.restart()
	b.first = b.revision
	b.timer.Reset(b.bounds.MaxDelay)
	return nil
}

// flushDue delivers a batch that is old enough. An open revision is waited for.
func (s *session) flushDue(ctx context.Context) error {
	if s.pending.open() {
		s.pending.timer.Reset(s.pending.bounds.MaxDelay)
		return nil
	}
	return s.flush(ctx)
}

// Stall is how long the pipeline may block before the watch is given back to
// etcd, to be opened again when the pipeline goes on. Until then the member keeps
// up to 128 responses for the watcher and tries to send every 10 ms.
const Stall = 5 * time.Second

// deliver hands records to the pipeline. What it refuses for good is lost, and
// announced as the gap, or ends the stream.
func (s *session) deliver(ctx context.Context, records *logrecord.Batch, gap logrecord.Gap) error {
	if err := s.settle(ctx); err != nil {
		return err
	}
	if records == nil || records.Len() == 0 {
		return nil
	}
	s.tellHeld(ctx)
	s.lag.behind(time.Now())
	count := records.Len()
	refused, err := s.offer(ctx, records)
	switch {
	case err != nil:
		return err
	case refused == nil:
		s.Telemetry.ReceiverEtcdEventsDelivered.Add(ctx, int64(count))
		return nil
	}
	s.Telemetry.ReceiverEtcdEventsDelivered.Add(ctx, int64(count-refused.Records))
	s.Telemetry.ReceiverEtcdEventsLost.Add(ctx, int64(refused.Records), delivery.StageRefused)
	s.Logger.Error("changes were refused for good", zap.Error(refused))
	gap.Count, gap.Reason = refused.Records, metadata.AttributeEtcdGapReasonRefused
	return s.gap(ctx, gap)
}

// offer hands records to the pipeline. An error ends the session: it is not known
// whether the pipeline has them, or it refuses them for good and that ends the
// stream. So this session offers nothing more.
func (s *session) offer(ctx context.Context, records *logrecord.Batch) (refused *delivery.RefusedError, err error) {
	patience := time.AfterFunc(s.Stall, s.stop)
	defer patience.Stop()
	err = s.Deliver(ctx, records.Logs())
	if refused, ok := errors.AsType[*delivery.RefusedError](err); ok {
		if !s.StopWhenRefused {
			return refused, nil
		}
		err = fmt.Errorf("%w: %w", ErrStopped, refused)
	}
	s.noMore = err != nil
	return nil, err
}

// lastFlush bounds how long the end of a session waits for the pipeline.
const lastFlush = 2 * time.Second

// flushLast delivers what a session that ends still holds. What the pipeline does
// not take in time is read again by the next session.
func (s *session) flushLast(ctx context.Context) {
	s.pending.timer.Stop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
	defer cancel()
	if !s.pending.open() && s.pending.len() > 0 && s.resumed.want == nil && !s.noMore {
		if err := s.flush(ctx); err != nil && !errors.Is(err, errReopen) {
			s.Logger.Warn("the last batch was not delivered; it is read again", zap.String("prefix", s.prefix), zap.Int64("from_revision", s.pending.first), zap.Int64("to_revision", s.pending.through), zap.Error(err))
		}
	}
	if !s.noMore {
		_ = s.tellUnnamed(ctx, true) // the next session tells it
	}
}
