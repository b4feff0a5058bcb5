// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/internal/checkpoint"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
)

// resumed checks that a stream goes on with the history that was left: it begins
// at the last delivered revision that had changes, and they must be the same. A
// cluster that was restored from a backup keeps its id, and its revisions may have
// passed the position again; nothing else shows that.
type resumed struct {
	want *checkpoint.Fingerprint // nil: nothing to check, or it was checked
	hash checkpoint.Hex
}

// see takes in a change that was delivered before.
func (r *resumed) see(ev *logrecord.Event, identity uint64) {
	if r.want != nil && ev.KV.ModRevision == r.want.Revision {
		r.hash += checkpoint.Hex(identity)
	}
}

// recognise judges once all of the fingerprint's revision has come: when next is
// what comes next. present is the revision of the member's store.
func (s *session) recognise(ctx context.Context, next, present int64) error {
	if s.resumed.want == nil || next <= s.resumed.want.Revision {
		return nil
	}
	return s.judge(ctx, present)
}

func (s *session) judge(ctx context.Context, present int64) error {
	want := s.resumed.want
	if s.resumed.hash == want.Hash {
		s.resumed.want = nil
		return nil
	}
	compacted, err := s.compactedTo(ctx, want.Revision)
	switch {
	case err != nil:
		return s.explain(err, s.conn)
	case compacted:
		return s.compare(ctx) // servers before 3.5.18 forget deletes of this very revision
	}
	return s.differs(ctx, present)
}

// differs: what was delivered last is not what the cluster tells of it.
func (s *session) differs(ctx context.Context, present int64) error {
	s.Logger.Error("the history of the cluster is not the one that was followed: it was restored from a backup", zap.String("prefix", s.prefix), zap.Int64("first_difference_at_or_before", s.print.Revision))
	return s.historyChanged(ctx, s.clusterID, present)
}

// compactedTo tells whether revision is the oldest that is there.
func (s *session) compactedTo(ctx context.Context, revision int64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	_, err := s.conn.Range(ctx, &pb.RangeRequest{Key: s.readableKey(), Revision: revision - 1, KeysOnly: true})
	if errors.Is(rpctypes.Error(err), rpctypes.ErrCompacted) {
		return true, nil
	}
	return false, err
}

// compare takes the place of recognise where the fingerprint's revision was
// compacted away, which is normal for a quiet prefix. A compaction keeps the
// newest version of each key, so the fingerprint's key is read: it must be as it
// was delivered, or have changed since.
func (s *session) compare(ctx context.Context) error {
	want := s.print
	if len(want.Key) == 0 {
		s.Logger.Info("whether the history is still the one that was followed cannot be told: the last delivered change is compacted, and all before it were excluded", zap.String("prefix", s.prefix), zap.Int64("revision", want.Revision))
		s.printGone = true
		return errReopen
	}
	limited, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	answer, err := s.conn.Range(limited, &pb.RangeRequest{Key: want.Key})
	if err != nil {
		return s.explain(err, s.conn)
	}
	same, changed := want.Deleted, true // where there is no key now: deleted since, in either history
	if len(answer.Kvs) > 0 {
		ev := logrecord.Event{KV: keyValue(answer.Kvs[0])}
		same = !want.Deleted && checkpoint.Hex(ev.Identity()) == want.Value
		changed = ev.KV.ModRevision >= s.next
	}
	switch {
	case !same && !changed:
		return s.differs(ctx, answer.Header.Revision)
	case !same:
		s.Logger.Info("whether the history is still the one that was followed cannot be told: the last delivered change is compacted, and its key changed since", zap.String("prefix", s.prefix), zap.Int64("revision", want.Revision))
	}
	s.printGone = true
	return errReopen
}
