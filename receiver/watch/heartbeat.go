// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"errors"
	"time"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
)

// Heartbeat is how often a silent stream is looked after. gRPC's own keepalive
// finds a frozen member only after 12 s (measured).
const Heartbeat = 2 * time.Second

// ping looks after a stream on which nothing came: is the member there, and up to
// which revision is there nothing? The second answer comes on the stream, as a
// response without events, once etcd has sent all that matches: see progress. A
// stream that catches up gets none, by design, so the first question goes beside
// the stream.
func (s *session) ping(ctx context.Context, stream *stream) error {
	if err := s.alive(ctx); err != nil {
		return err
	}
	if s.unanswered++; s.answers && s.unanswered > silentPings {
		return s.explain(errSilent, s.conn)
	}
	if err := stream.requestProgress(); err != nil {
		return s.ended(ctx, err)
	}
	return nil
}

// alive asks the member about itself.
func (s *session) alive(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	status, err := s.conn.Status(limited)
	if err != nil && !etcdclient.IsDenied(err) {
		return s.explain(err, s.conn)
	}
	s.version, s.stored = status.GetVersion(), status.GetDbSizeInUse()
	s.lag.tip(status.GetHeader().GetRevision())
	s.tellLag(ctx)
	return nil
}

// errSilent is a member that answers, but not on the stream.
var errSilent = errors.New("the stream is silent though the member answers")

// silentPings is after how many pings in a row a stream that has answered before is
// given up. One that catches up is silent by design, at most for a scan of etcd.
const silentPings = 15

// trustsProgress is whether the member's version does what progress relies on.
func (s *session) trustsProgress() bool { return mendedProgress.in(s.version) }

// progress moves the position of a quiet prefix: without it a stream that is
// opened again after a compaction would ask for revisions that are gone, though
// nothing of the prefix is missing.
func (s *session) progress(ctx context.Context, revision int64) error {
	b := s.pending
	s.unanswered, s.answers = 0, true
	s.lag.reached(revision)
	if b.open() || !s.trustsProgress() || revision <= b.through {
		return s.flush(ctx)
	}
	if err := s.recognise(ctx, revision+1, revision); err != nil {
		return err
	}
	b.through = revision
	// All is read: what made a catch-up narrow may be over, and what comes next may be large.
	s.narrowness, s.cutting = 1, bounded
	return s.flush(ctx)
}

// PermissionCheck is how often an open watch is asked for again: etcd does not end
// one whose user has lost the permission (measured on 3.5.35 and 3.6.16).
const PermissionCheck = time.Minute

// mayRead ends a watch that the user may not have any more.
func (s *session) mayRead(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	key, end := keyRange(s.prefix)
	if err := s.conn.MayRead(ctx, key, end); etcdclient.IsDenied(err) {
		return s.explain(err, s.conn)
	}
	return nil
}
