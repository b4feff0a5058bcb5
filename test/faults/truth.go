// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"slices"
)

// Truth is what really happened in etcd during a run.
type Truth struct {
	// Histories in the order in which they were valid: a restore from a backup and a new cluster begin a new one.
	Histories []History
	// Unsound says why the truth is none. Nothing can be judged by it unless it is empty.
	Unsound []string
}

// History is one unbroken course of revisions.
type History struct {
	Cluster string // id as records show it
	// Base is the last revision that the history has in common with the one before it; 0 for a new cluster.
	Base      int64
	BaseState Space
	Changes   []Change // all after Base, in (revision, sub-index) order
	Compacted int64    // highest revision that was asked to be compacted; 0 for none
}

// stateAt is the key space at a revision.
func (h *History) stateAt(revision int64) Space {
	s := h.BaseState.clone()
	if s == nil {
		s = Space{}
	}
	end, _ := slices.BinarySearchFunc(h.Changes, revision+1, func(c Change, r int64) int { return int(c.Revision - r) })
	s.apply(h.Changes[:end])
	return s
}

// Write is one request of the load generator.
type Write struct {
	Ops []Op
	// Revision of the answer; 0 if there was none: then the write may have happened or not.
	Revision int64
	// Deleted is how many keys the answer says were deleted.
	Deleted int
}

func (w *Write) puts() int {
	n := 0
	for _, op := range w.Ops {
		if !op.Delete {
			n++
		}
	}
	return n
}

// Observed is what is known of one history, from both sides.
type Observed struct {
	Cluster   string
	Base      int64
	BaseState Space
	Writes    []Write
	Leases    map[int64]bool // granted ones; they may expire at any revision
	Seen      []Change       // what the independent reader saw after Base; it need not know Prev
	Compacted int64
	Problems  []string // what went wrong with either source
}

// BuildTruth replays the writes on a model of the key space and holds the result against what the reader saw.
func BuildTruth(observed []Observed) Truth {
	var t Truth
	for i, o := range observed {
		r := &replay{
			space: o.BaseState.clone(), leases: o.Leases, acked: map[int64]*Write{},
			note: func(format string, args ...any) {
				t.Unsound = append(t.Unsound, fmt.Sprintf("history %d: ", i)+fmt.Sprintf(format, args...))
			},
		}
		if r.space == nil {
			r.space = Space{}
		}
		for _, p := range o.Problems {
			r.note("%s", p)
		}
		t.Histories = append(t.Histories, History{
			Cluster: o.Cluster, Base: o.Base, BaseState: o.BaseState, Compacted: o.Compacted,
			Changes: r.run(&o),
		})
	}
	if len(observed) == 0 {
		t.Unsound = append(t.Unsound, "there is no history")
	}
	return t
}

// replay is the state of BuildTruth within one history.
type replay struct {
	space     Space
	leases    map[int64]bool
	acked     map[int64]*Write
	uncertain []*Write
	note      func(format string, args ...any)
}

func (r *replay) run(o *Observed) []Change {
	for i := range o.Writes {
		w := &o.Writes[i]
		switch {
		case w.Revision == 0:
			r.uncertain = append(r.uncertain, w)
		case w.puts() == 0 && w.Deleted == 0: // no change, no revision
		case r.acked[w.Revision] != nil:
			r.note("two writes were answered with revision %d", w.Revision)
		default:
			r.acked[w.Revision] = w
		}
	}
	var out []Change
	last := o.Base
	for seen := range byRevision(o.Seen) {
		revision := seen[0].Revision
		if revision <= last {
			r.note("the reader saw revision %d after %d", revision, last)
			return out
		}
		last = revision
		changes := r.explain(revision, seen)
		if changes == nil {
			return out // already noted; all that follows would be wrong as well
		}
		r.space.apply(changes)
		out = append(out, changes...)
	}
	for revision := range r.acked {
		r.note("a write was answered with revision %d, but the reader did not see it", revision)
	}
	return out
}

// explain finds who made the changes that the reader saw, and gives them complete.
func (r *replay) explain(revision int64, seen []Change) []Change {
	if w := r.acked[revision]; w != nil {
		delete(r.acked, revision)
		changes := r.space.plan(revision, w.Ops)
		if len(changes)-w.puts() != w.Deleted {
			r.note("revision %d: etcd answered that it deleted %d keys, the model says %d", revision, w.Deleted, len(changes)-w.puts())
			return nil
		}
		if !same(changes, seen) {
			r.note("revision %d: written %v, read %v", revision, shorten(changes), shorten(seen))
			return nil
		}
		return changes
	}
	for i, w := range r.uncertain {
		if changes := r.space.plan(revision, w.Ops); same(changes, seen) {
			r.uncertain = slices.Delete(r.uncertain, i, i+1)
			return changes
		}
	}
	if was := r.space[seen[0].Key]; was != nil && was.Lease != 0 && r.leases[was.Lease] {
		if changes := r.space.expiry(revision, was.Lease); same(changes, seen) {
			return changes
		}
	}
	r.note("revision %d: nobody of ours wrote %v", revision, shorten(seen))
	return nil
}

// same compares planned changes with those that were read, which may lack the previous state.
func same(planned, seen []Change) bool {
	return slices.EqualFunc(planned, seen, func(p, s Change) bool {
		if s.Prev == nil {
			s.Prev = p.Prev
		}
		return p.equal(&s)
	})
}

func shorten(changes []Change) string {
	const most = 3
	var parts []string
	for i := range changes[:min(len(changes), most)] {
		parts = append(parts, changes[i].String())
	}
	if n := len(changes) - most; n > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", n))
	}
	return fmt.Sprint(parts)
}

// byRevision cuts changes, which must be in order, into revisions.
func byRevision(changes []Change) func(yield func([]Change) bool) {
	return func(yield func([]Change) bool) {
		for len(changes) > 0 {
			n := slices.IndexFunc(changes, func(c Change) bool { return c.Revision != changes[0].Revision })
			if n < 0 {
				n = len(changes)
			}
			if !yield(changes[:n]) {
				return
			}
			changes = changes[n:]
		}
	}
}
