// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
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
	// maxSegments is how many watchers one window has. etcd looks at up to 512 in a
	// scan, those of other clients among them.
	maxSegments = 100
	// heldBySegments bounds the responses of one window that wait for their turn.
	heldBySegments = 64 << 20
	// progressEvery is how often a silent segment is asked for. It has nothing to
	// send when no change of the prefix lies in it.
	progressEvery = 100 * time.Millisecond
)

// burst is what came in one response, over all its fragments.
type burst struct {
	revisions   int
	first, last int64
	bytes       int
	tip         int64
	whole       bool
}

// add begins or continues with a response; see counts its changes.
func (b *burst) add(r *response) {
	if b.whole {
		*b = burst{}
	}
	b.bytes += len(r.data)
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
	cost int   // bytes of such a response
}

// behind tells from a response how far the stream is behind, nil if it is not: a
// full one, far from the tip. One that is not full was the last.
func (s *session) behind(b *burst) *backlog {
	if !b.whole || b.revisions < batchRevisions || b.tip-b.last < behindBy || !s.trustsProgress() || s.width < 2 {
		return nil
	}
	return &backlog{tip: b.tip, span: b.last - b.first + 1, cost: b.bytes}
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
		if rest := arrived.Sub(started) - time.Since(arrived); s.next <= b.tip {
			sleep(ctx, rest)
		}
	}
	return ctx.Err()
}

// segment is one watcher's part of a window.
type segment struct {
	first, last int64
	responses   chan *response // closed at the end; two responses are read ahead
	err         error          // set before that
}

// window reads the next segments, all at once, and delivers them in their order.
// It gives the time at which the last response had arrived.
func (s *session) window(ctx context.Context, b *backlog) (arrived time.Time, err error) {
	width := int64(max(1, min(s.width, heldBySegments/max(2*b.cost, 1))))
	reading, stop := context.WithCancel(s.streams)
	var segments []*segment
	for first := s.next; first <= b.tip && int64(len(segments)) < width; first += b.span {
		g := &segment{first: first, last: min(first+b.span-1, b.tip), responses: make(chan *response)}
		segments = append(segments, g)
	}
	go s.openSegments(reading, segments)
	defer func() {
		stop()
		for _, g := range segments { // waits for their goroutines too
			for r := range g.responses {
				s.drop(r)
			}
		}
		switch {
		case err == nil:
			s.width = min(maxSegments, s.width*2)
		case errors.Is(err, errReopen), ctx.Err() != nil:
		default:
			s.narrow()
		}
	}()
	for _, g := range segments {
		for r := range g.responses {
			arrived = time.Now()
			err := s.takeSegment(ctx, g, r)
			s.drop(r)
			if err != nil {
				return arrived, err
			}
		}
		if g.err != nil {
			return arrived, s.ended(ctx, g.err)
		}
		s.pending.through = max(s.pending.through, g.last)
	}
	return arrived, s.flush(ctx)
}

func (s *session) takeSegment(ctx context.Context, g *segment, r *response) error {
	if r.canceled { // what is still there of the history is told by a new stream
		if err := s.flush(ctx); err != nil {
			return err
		}
		return s.canceled(ctx, r)
	}
	s.lag.tip(r.header.revision)
	return s.take(ctx, r, &burst{}, g.last)
}

func (s *session) drop(r *response) {
	s.held.Add(-int64(len(r.data)))
	r.free()
}

// narrow makes the next window smaller after an error: a proxy, or a server's
// limits, may not allow so many streams.
func (s *session) narrow() {
	if s.width /= 2; s.width == 1 {
		s.Logger.Warn("this etcd does not let a backlog be read by segments; one watcher reads it, slowly", zap.String("prefix", s.prefix))
	}
}

// openSegments opens the streams in their order: if a server allows only some at a
// time, the next is opened when the first of them is done, whose turn it is.
func (s *session) openSegments(ctx context.Context, segments []*segment) {
	for _, g := range segments {
		stream, err := openStream(ctx, s.dialed, s.request(g.first), &s.held)
		if err != nil {
			g.err = err
			close(g.responses)
			continue
		}
		go readSegment(ctx, g, stream)
	}
}

// readSegment hands over the responses of one segment until its end: a change
// after it, a whole response that reaches it, or a progress answer.
func readSegment(ctx context.Context, g *segment, stream *stream) {
	defer close(g.responses)
	defer stream.end()
	ask := time.NewTicker(progressEvery)
	defer ask.Stop()
	for {
		select {
		case r := <-stream.responses:
			switch {
			case r.err != nil:
				g.err = r.err
				return
			case r.created:
				stream.release(r)
				continue
			case r.events == 0 && !r.canceled:
				reached := r.header.revision >= g.last
				stream.release(r)
				if reached {
					return
				}
				continue
			}
			done := r.canceled || r.last > g.last || r.last == g.last && !r.fragment
			select {
			case g.responses <- r:
			case <-ctx.Done():
				stream.release(r)
				g.err = ctx.Err()
				return
			}
			if done {
				return
			}
		case <-ask.C:
			if err := stream.requestProgress(); err != nil {
				g.err = err
				return
			}
		case <-ctx.Done():
			g.err = ctx.Err()
			return
		}
	}
}
