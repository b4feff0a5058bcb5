// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"

	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/internal/checkpoint"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

// position is where the stream of a prefix stands.
type position struct {
	clusterID uint64 // 0 before the first stream
	// next is the first revision that is not delivered; 0: the present.
	next int64
	// print identifies what was delivered last: with it a later stream is checked to
	// go on with the same history. nil before the first change.
	print *checkpoint.Fingerprint
	// printGone: etcd has compacted the print's revision away.
	printGone bool
	// keys is the reading of the existing keys that is due or under way, else nil.
	keys *checkpoint.Snapshot
	// planned: next is what the user wants, and no stream was there yet.
	planned bool
	// part is how much of a huge revision was delivered.
	part part
	// owed is a gap whose record the pipeline has not accepted.
	owed *logrecord.Gap
	// lost: the stored position could not be read.
	lost bool
	// unsaved: the last write of the checkpoint failed.
	unsaved bool
}

// part is the beginning of a revision.
type part struct {
	revision int64
	changes  int
}

// restore takes the stored position up, or says why not.
func (f *follower) restore() {
	if f.Start == AtRevision {
		f.next, f.planned = f.StartRevision, true
	}
	if f.InitialSnapshot {
		f.keys = &checkpoint.Snapshot{}
	}
	if f.Checkpoint == nil {
		return
	}
	stored, origin := f.Checkpoint.Load(f.prefix)
	log := f.Logger.With(zap.String("prefix", f.prefix))
	if f.Start == AtLatest {
		if origin == checkpoint.Stored || origin == checkpoint.Previous {
			log.Info("the stored position is left aside, since watch.start is latest", zap.Int64("stored_revision", stored.Revision))
		}
		return
	}
	switch origin {
	case checkpoint.None:
		return
	case checkpoint.NewPrefix:
		overlapping, ok := f.Checkpoint.Overlapping(f.prefix)
		if !ok {
			log.Info("this prefix was not watched before; it begins as watch.start says")
			return
		}
		log.Info("this prefix was not watched before, but one that overlaps it was; it begins there, so changes may come again", zap.Int64("stored_revision", overlapping.Revision))
		stored = overlapping
	case checkpoint.Lost:
		log.Error("the checkpoint is damaged, and so is the one before: what was delivered is not known; a gap is recorded", zap.Error(f.Checkpoint.Damage()))
		f.lost, f.next, f.planned, f.keys = true, 0, false, nil
		return
	case checkpoint.Previous:
		log.Warn("the checkpoint is damaged; the one before is used, and what came between is delivered again", zap.Error(f.Checkpoint.Damage()))
	}
	f.identify(uint64(stored.ClusterID))
	f.planned, f.owed = false, restoredGap(stored.Owed)
	f.next, f.print, f.keys = stored.Revision+1, stored.Fingerprint, stored.Snapshot
	if f.print != nil && f.excluded(f.print.Key) { // since the last run
		f.print.Key, f.print.Deleted, f.print.Value = nil, false, 0
	}
}

// save stores the position. While that fails the stream goes on, since waiting
// would risk a compaction: what is not stored is delivered again after a crash.
func (f *follower) save(ctx context.Context) {
	if f.Checkpoint == nil || f.clusterID == 0 || f.next < 2 {
		return
	}
	// What was delivered is stored, also when the collector is about to stop.
	err := f.Checkpoint.Save(context.WithoutCancel(ctx), f.prefix, checkpoint.Position{
		ClusterID: checkpoint.Hex(f.clusterID), Revision: f.next - 1, Fingerprint: f.print, Snapshot: f.keys, Owed: storedGap(f.owed),
	})
	if err != nil {
		f.Telemetry.ReceiverEtcdCheckpointErrors.Add(ctx, 1)
		if !f.unsaved {
			f.Logger.Error("the checkpoint cannot be written; changes are delivered all the same, and again after a crash", zap.String("prefix", f.prefix), zap.Error(err))
		}
	} else {
		f.Telemetry.ReceiverEtcdCheckpointRevision.Record(ctx, f.next-1, f.ofPrefix)
		if f.unsaved {
			f.Logger.Info("the checkpoint can be written again", zap.String("prefix", f.prefix))
		}
	}
	f.unsaved = err != nil
}

func storedGap(g *logrecord.Gap) *checkpoint.Gap {
	if g == nil {
		return nil
	}
	return &checkpoint.Gap{From: g.From, To: g.To, Next: g.Next, Count: int64(g.Count), Reason: g.Reason.String()}
}

func restoredGap(g *checkpoint.Gap) *logrecord.Gap {
	if g == nil {
		return nil
	}
	return &logrecord.Gap{From: g.From, To: g.To, Next: g.Next, Count: int(g.Count), Reason: metadata.MapAttributeEtcdGapReason[g.Reason]}
}

// recognisable is the print, nil where etcd does not have its revision any more.
func (f *follower) recognisable() *checkpoint.Fingerprint {
	if f.printGone {
		return nil
	}
	return f.print
}

// begin is the revision to open a stream at: that of the print, to see it again,
// if it is still there.
func (f *follower) begin() int64 {
	if want := f.recognisable(); want != nil {
		return want.Revision
	}
	return f.next
}
