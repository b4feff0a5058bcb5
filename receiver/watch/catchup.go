// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A watcher that is behind costs etcd a scan from its position to the tip for
// every 1,000 revisions it is sent, under a lock that writes need: one watcher that
// is 100,000 revisions behind takes 27 s and 83 us of etcd's CPU an event, at
// 300,000 it gets 1,200 events a second (measured, 3.6.16). Watchers that are
// behind share a scan, so many of them, each begun 1,000 revisions after the last,
// get as many times more from one: with 100, 100,000 revisions take about a second.
//
//	position        tip
//	   |--- seg 0 ---|--- seg 1 ---| ... |--- seg n ---|   one window, opened at once
//	         v               v                  v
//	      delivered in this order; then the next window, and the live stream
const (
	// batchRevisions is how many matching revisions one scan sends a watcher: etcd's
	// watchBatchMaxRevs, server/storage/mvcc/watcher_group.go.
	batchRevisions = 1000
	// behindBy is from how many revisions on segments pay.
	behindBy = 5000
	// maxSegments is how many watchers one window has at most. etcd looks at up to
	// 512 in a scan, those of other clients among them. The first window of a large
	// store is narrower: it shows whether what comes is as large as what was seen.
	maxSegments   = 100
	firstSegments = 16
	widen         = 8
	// windowBytes bounds what the segments of one window have together, here and in
	// etcd, which makes a whole segment at once.
	windowBytes = 32 << 20
	// progressEvery is how often a silent segment is asked for. It has nothing to
	// send when no change of the prefix lies in it.
	progressEvery = 100 * time.Millisecond
)

// burst is what came in one response, over all its fragments.
type burst struct {
	revisions   int
	first, last int64
	bytes       int64
	tip         int64
	whole       bool
}

// add begins or continues with a response; see counts its changes.
func (b *burst) add(r *response) {
	if b.whole {
		*b = burst{}
	}
	b.bytes += int64(r.size)
	b.tip, b.whole = r.header.revision, !r.fragment
}

func (b *burst) see(revision int64) {
	if b.first == 0 {
		b.first = revision
	}
	if b.last != revision {
		b.revisions++
		b.last = revision
	}
}

// backlog is what lies between the position and the tip.
type backlog struct {
	tip  int64
	span int64 // revisions in which etcd found as many changes as it sends at once
	// cost is the bytes of the largest segment that was seen last.
	cost  int64
	width int64 // segments of the next window
}

// behind tells from a response how far the stream is behind, nil if it is not: a
// full one, far from the tip. One that is not full was the last.
func (s *session) behind(b *burst) *backlog {
	// The revision that was asked for to recognise the history is not counted.
	if !b.whole || b.revisions < batchRevisions-1 || b.tip-b.last < behindBy || !s.trustsProgress() || s.narrowness >= firstSegments {
		return nil
	}
	width := int64(firstSegments)
	if s.stored > 0 && 2*s.stored <= windowBytes {
		width = maxSegments // all events, with their previous values, cannot be more than that
	}
	return &backlog{tip: b.tip, span: b.last - b.first + 1, cost: b.bytes, width: width}
}

// catchUp reads a backlog window by window. Between two windows etcd rests for as
// long as the one before kept it busy.
func (s *session) catchUp(ctx context.Context, b *backlog) error {
	s.Logger.Info("reading a backlog by segments", zap.String("prefix", s.prefix), zap.Int64("from_revision", s.next), zap.Int64("to_revision", b.tip))
	s.tellCatchUp(ctx, 1)
	defer s.tellCatchUp(ctx, 0)
	for s.next <= b.tip {
		started := time.Now()
		arrived, err := s.window(ctx, b)
		if err != nil {
			return err
		}
		b.width *= widen
		if rest := arrived.Sub(started) - time.Since(arrived); s.next <= b.tip {
			sleep(ctx, rest)
		}
	}
	return ctx.Err()
}

// segment is one watcher's part of a window.
type segment struct {
	first, last int64
	responses   chan *response // closed at the end
	// Set before that:
	err     error
	arrived time.Time // of the last response
	bytes   int64
}

// window reads the next segments, all at once, and delivers them in their order.
// It gives the time at which the last response had arrived.
func (s *session) window(ctx context.Context, b *backlog) (arrived time.Time, err error) {
	width := max(1, min(b.width, maxSegments, windowBytes/max(b.cost, 1))/int64(s.narrowness))
	reading, stop := context.WithCancel(s.streams)
	var segments []*segment
	for first := s.next; first <= b.tip && int64(len(segments)) < width; first += b.span {
		segments = append(segments, &segment{first: first, last: min(first+b.span-1, b.tip), responses: make(chan *response, 1)})
	}
	go s.openSegments(reading, segments)
	defer func() {
		stop()
		for _, g := range segments { // waits for their goroutines too
			for r := range g.responses {
				s.release(r)
			}
		}
	}()
	b.cost = 0
	for _, g := range segments {
		if err := s.deliverSegment(ctx, g); err != nil {
			return arrived, err
		}
		if arrived.Before(g.arrived) {
			arrived = g.arrived
		}
		b.cost = max(b.cost, g.bytes)
		s.pending.through = max(s.pending.through, g.last)
	}
	return arrived, s.flush(ctx)
}

// deliverSegment takes a segment in whose turn it is.
func (s *session) deliverSegment(ctx context.Context, g *segment) error {
	silent := time.NewTicker(s.Heartbeat)
	defer silent.Stop()
	for pings := 0; ; {
		select {
		case r, ok := <-g.responses:
			if !ok {
				return s.segmentEnded(ctx, g)
			}
			pings = 0
			silent.Reset(s.Heartbeat)
			err := s.takeSegment(ctx, g, r)
			s.release(r)
			if err != nil {
				return err
			}
		case <-silent.C:
			if err := s.alive(ctx); err != nil {
				return err
			}
			if pings++; pings > silentPings {
				s.narrow()
				return s.explain(errSilent, s.conn)
			}
		}
	}
}

func (s *session) segmentEnded(ctx context.Context, g *segment) error {
	if g.err == nil {
		return nil
	}
	err := s.ended(ctx, g.err)
	if status.Code(g.err) == codes.ResourceExhausted && !errors.Is(err, errReopen) {
		s.narrow()
	}
	return err
}

func (s *session) takeSegment(ctx context.Context, g *segment, r *response) error {
	if err := s.check(r); err != nil {
		return s.explain(err, s.conn)
	}
	if r.canceled { // what is still there of the history is told by a new stream
		if err := s.flush(ctx); err != nil {
			return err
		}
		return s.canceled(ctx, r)
	}
	s.lag.tip(r.header.revision)
	return s.take(ctx, r, &burst{}, g.last)
}

// narrow makes windows smaller from now on, until all is read: a proxy or a
// server's limits may not allow so many streams. At the end one watcher reads.
func (s *session) narrow() {
	if s.narrowness *= 2; s.narrowness >= firstSegments {
		s.Logger.Warn("this etcd does not let a backlog be read by segments; one watcher reads it, slowly", zap.String("prefix", s.prefix))
	}
}

// openSegments opens the streams in their order: if a server allows only some at a
// time, the next is opened when the first of them is done, whose turn it is.
func (s *session) openSegments(ctx context.Context, segments []*segment) {
	clusterID := s.clusterID
	for _, g := range segments {
		stream, err := openStream(ctx, s.dialed, s.request(g.first), s.cutting, &s.held)
		if err != nil {
			g.err = err
			close(g.responses)
			continue
		}
		go func() {
			defer close(g.responses)
			defer stream.end()
			g.err = g.read(ctx, stream, clusterID)
		}()
	}
}

// read hands over the responses of one segment until its end: a change after it, a
// whole response that reaches it, or a progress answer. The stream ends before the
// last one waits for its turn, so that etcd does not go on scanning for it.
func (g *segment) read(ctx context.Context, stream *stream, clusterID uint64) error {
	ask := time.NewTicker(progressEvery)
	defer ask.Stop()
	for {
		select {
		case r := <-stream.responses:
			g.arrived = time.Now()
			g.bytes += int64(r.size)
			switch {
			case r.err != nil:
				return r.err
			case r.header.present && r.header.clusterID != clusterID && !r.canceled:
				stream.release(r)
				return errors.New("another cluster answers")
			case r.created && !r.canceled: // a refusal is both
				stream.release(r)
				continue
			case r.events == 0 && !r.canceled:
				reached := r.header.revision >= g.last
				stream.release(r)
				if reached {
					return nil
				}
				continue
			}
			done := r.canceled || r.last > g.last || r.last == g.last && !r.fragment
			if done {
				stream.end()
			}
			select {
			case g.responses <- r:
			case <-ctx.Done():
				stream.release(r)
				return ctx.Err()
			}
			if done {
				return nil
			}
		case <-ask.C:
			if err := stream.requestProgress(); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
