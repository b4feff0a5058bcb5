// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/internal/checkpoint"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// gap records that changes are missing. An error means that the record was not
// delivered: the position must stay, so that it is made again.
func (s *session) gap(ctx context.Context, g logrecord.Gap) error {
	s.Logger.Error("changes are missing", zap.String("prefix", s.prefix), zap.Int64("from_revision", g.From), zap.Int64("to_revision", g.To), zap.Int64("next_revision", g.Next), zap.Stringer("reason", g.Reason))
	s.owe(g)
	if err := s.settle(ctx); err != nil {
		return err
	}
	s.Telemetry.ReceiverEtcdWatchGaps.Add(ctx, 1, metric.WithAttributes(attribute.String("reason", g.Reason.String())))
	return nil
}

// owe notes a gap whose record is to be delivered. One that the pipeline refuses for
// good, as it may have refused the changes, is told with the next that it accepts:
// a hole is never silent.
func (f *follower) owe(g logrecord.Gap) {
	if before := f.owed; before != nil {
		switch {
		case before.From == 0 && before.To != 0: // all up to there
			g.From = 0
		case g.From == 0 || before.From != 0 && before.From < g.From:
			g.From = before.From
		}
		if g.Count == 0 || before.Count == 0 {
			g.Count = 0 // not known of both
		} else {
			g.Count += before.Count
		}
		g.Reason = before.Reason
	}
	f.owed = &g
}

// settle delivers the record of a gap that is owed. A pipeline that refuses it for
// good does not hold the stream up, unless the user wants that.
func (s *session) settle(ctx context.Context) error {
	if s.owed == nil {
		return nil
	}
	records := s.newRecords(1)
	if records.Gap(s.prefix, *s.owed) {
		accepted, err := s.announce(ctx, records)
		if !accepted {
			return err
		}
	}
	s.owed = nil
	return nil
}

// announce delivers a record that is not a change. The pipeline may refuse it for
// good, without an error.
func (s *session) announce(ctx context.Context, records *logrecord.Batch) (accepted bool, err error) {
	refused, err := s.offer(ctx, records)
	if refused != nil {
		s.Logger.Error("the pipeline refused a record of the stream", zap.String("prefix", s.prefix), zap.Error(refused))
	}
	return refused == nil && err == nil, err
}

// canceled: etcd ended the watch. If the position was compacted away, that part
// of the history is gone and the stream goes on where history begins, which is
// the compacted revision itself.
func (s *session) canceled(ctx context.Context, r *response) error {
	compacted := r.compactRevision
	switch {
	case compacted == 0:
		return s.explain(cancelError(r.cancelReason), s.conn)
	case s.recognisable() != nil && compacted <= s.next:
		// Only what was delivered is gone: the next stream begins at the position.
		return s.compare(ctx)
	}
	missing := s.next
	if err := s.gap(ctx, logrecord.Gap{From: missing, To: s.lastMissing(ctx, compacted), Next: compacted, Reason: metadata.AttributeEtcdGapReasonCompacted}); err != nil {
		return err
	}
	s.next, s.print, s.printGone = compacted, nil, false
	switch s.OnCompaction {
	case Resync:
		s.keys = &checkpoint.Snapshot{Revision: compacted, Above: missing - 1, Resync: true}
	case Snapshot:
		s.keys = &checkpoint.Snapshot{Revision: compacted, Resync: true}
	}
	s.moved(ctx)
	return errReopen
}

// statusTimeout bounds a question that is asked once in a while beside the stream.
const statusTimeout = 2 * time.Second

// lastMissing is the last revision of which changes are missing after a
// compaction. The compacted revision itself is still served (measured), but a
// server that forgets deletes there may have lost some of it: then it counts as
// missing too, and so it does where the version cannot be learned.
func (s *session) lastMissing(ctx context.Context, compacted int64) int64 {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	if status, err := s.conn.Status(ctx); err == nil && mendedDelete.in(status.Version) {
		return compacted - 1
	}
	return compacted
}

// startOver: the history that was followed is not there any more, or it is not
// known how far it was followed. The stream goes on after the present of the
// cluster that answers.
func (s *session) startOver(ctx context.Context, g logrecord.Gap, clusterID uint64, present int64) error {
	g.Next = present + 1
	if err := s.tellUnnamed(ctx, true); err != nil {
		return err
	}
	if err := s.gap(ctx, g); err != nil { // both belong to the old history
		return err
	}
	s.identify(clusterID)
	s.next, s.print, s.printGone, s.keys, s.lost = present+1, nil, false, nil, false
	s.part, s.lag.store, s.lag.read = part{}, present, 0
	if s.OnCompaction == Resync || s.OnCompaction == Snapshot {
		s.keys = &checkpoint.Snapshot{Revision: present, Resync: true}
	}
	s.moved(ctx)
	return errReopen
}

// historyChanged: what the cluster tells does not continue what was delivered.
func (s *session) historyChanged(ctx context.Context, clusterID uint64, present int64) error {
	return s.startOver(ctx, logrecord.Gap{From: s.next, Reason: metadata.AttributeEtcdGapReasonHistoryChanged}, clusterID, present)
}

// otherCluster: the endpoint belongs to another cluster now.
func (s *session) otherCluster(ctx context.Context, clusterID uint64, present int64) error {
	before, known := s.clusterID, s.seen[clusterID]
	if err := s.historyChanged(ctx, clusterID, present); !errors.Is(err, errReopen) {
		return err
	}
	if known {
		s.keys = nil // endpoints of two clusters: their keys are not told again at every turn
	}
	// Not errReopen: with endpoints of two clusters each stream would end like this, so the back-off must hold.
	return fmt.Errorf("cluster %s answers, before it was %s; its changes are followed from revision %d on", resource.ID(clusterID), resource.ID(before), s.next)
}

// ahead: the position is ahead of the member that answers. It may just be behind
// the others; a linearizable read, which is behind nobody, tells.
func (s *session) ahead(ctx context.Context, memberAt int64) error {
	limited, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	revision, err := s.conn.Revision(limited, s.readableKey())
	switch {
	case err != nil:
		return s.explain(err, s.conn)
	case revision >= s.next-1:
		return s.explain(fmt.Errorf("the member is at revision %d and behind the cluster, which is at %d", memberAt, revision), s.conn)
	}
	s.Logger.Error("the revisions of the cluster went back: it was restored from a backup", zap.Int64("revision", revision), zap.Int64("position", s.next-1))
	return s.historyChanged(ctx, s.clusterID, revision)
}

// readableKey is one that the user may read if it may watch the prefix.
func (f *follower) readableKey() []byte {
	key, _ := keyRange(f.prefix)
	return key
}
