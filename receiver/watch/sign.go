// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"slices"
	"time"

	"github.com/etcdreceiver/etcdreceiver/internal/join"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
)

// Patience is how long a change waits at most for who made it. etcd tells its
// watchers before it answers the request, and what is traced is read every 10 ms, so
// nearly all are there after 20 ms; in 200,000 changes on an overloaded machine, ten
// were not there after 250 ms. A change that was served elsewhere waits only until the
// raft log says so, and a lease's end likewise.
const Patience = time.Second

// unsigned are the changes in a batch, in their order, with what a search for their
// author needs. Nil takes nothing in.
type unsigned struct {
	changes []unsignedChange
	keys    []byte
	last    time.Time // when the last of them had arrived
}

type unsignedChange struct {
	record   int // its number in the batch
	revision int64
	lease    int64
	keyEnd   int // in keys
	delete   bool
}

func (u *unsigned) add(record int, ev *logrecord.Event) {
	if u == nil {
		return
	}
	u.keys = append(u.keys, ev.KV.Key...)
	c := unsignedChange{record: record, revision: ev.KV.ModRevision, lease: ev.KV.Lease, keyEnd: len(u.keys), delete: ev.Delete}
	if ev.Delete {
		c.lease = ev.Prev.Lease
	}
	u.changes = append(u.changes, c)
}

func (u *unsigned) arrived(now time.Time) {
	if u != nil {
		u.last = now
	}
}

func (u *unsigned) reset() {
	if u != nil {
		u.changes, u.keys = u.changes[:0], u.keys[:0]
	}
}

// sign tells of each change in the batch who made it, and leaves out what another
// member has served, if the user wants only what this one did. It gives what is
// known of how many.
func (s *session) sign(ctx context.Context) (signed tally) {
	u := s.pending.unsigned
	if u == nil || len(u.changes) == 0 {
		return signed
	}
	defer u.reset()
	if !s.Window.Begun() { // as on most hosts: it is not looked for each of them
		signed[join.Untraced] = counted{u.changes[0].revision, u.changes[len(u.changes)-1].revision, int64(len(u.changes))}
		return signed
	}
	records, until, from := s.pending.records, u.last.Add(Patience), 0
	var elsewhere []int // records, ascending
	for i, c := range u.changes {
		change := join.Change{Revision: c.revision, Key: u.keys[from:c.keyEnd], Delete: c.delete, Lease: c.lease}
		from = c.keyEnd
		if i == 0 || c.revision != u.changes[i-1].revision {
			s.Window.Wait(ctx, c.revision, until)
		}
		author, outcome := s.Window.Author(&change)
		signed[outcome].add(counted{c.revision, c.revision, 1})
		switch {
		case outcome == join.Elsewhere && s.Local:
			elsewhere = append(elsewhere, c.record)
		case author != nil:
			records.Sign(c.record, author)
		}
	}
	if len(elsewhere) > 0 {
		records.Keep(func(nr int) bool {
			_, out := slices.BinarySearch(elsewhere, nr)
			return !out
		})
		s.Telemetry.ReceiverEtcdEventsFiltered.Add(ctx, int64(len(elsewhere)))
	}
	return signed
}
