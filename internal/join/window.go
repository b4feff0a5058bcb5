// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

const (
	// size is how many revisions are kept: at 10,000 writes a second those of six
	// seconds.
	size = 1 << 16
	// maxBytes is what the keys of all requests may take, and the requests beside the
	// first of each revision: clients choose how much that is. What comes then is kept
	// without its keys, and joined only if it needs none. With it, a full window has
	// some 70 MiB beside its leases.
	maxBytes = 32 << 20
	// leases is how many leases are kept with their owner.
	leases = 1 << 16
	// claims is how many requests may claim a revision. One has made it, the others
	// answered at that moment and changed nothing.
	claims = 4
	// replaced is how many processes are remembered that others have replaced.
	replaced = 64
)

const notSeen = math.MaxInt64

// Outcome is what became of the search for a change's author.
type Outcome uint8

const (
	// Untraced: nothing was traced then.
	Untraced Outcome = iota
	// Joined: the request is known, or the lease that expired.
	Joined
	// Elsewhere: another member served it. The user is known with authentication on.
	Elsewhere
	// Missed: it was traced then, but no request that fits was seen.
	Missed
	// Late: it was traced then, but that is too many revisions ago, or another process
	// has taken the place of the one that was traced.
	Late
)

// Outcomes are all, by the name that metadata.yaml has.
var Outcomes = [...]string{Untraced: "untraced", Joined: "joined", Elsewhere: "elsewhere", Missed: "missed", Late: "late"}

// Window keeps what was traced about the latest revisions of one cluster, a bounded
// number of them. All methods may be called by any goroutine.
type Window struct {
	mu     sync.Mutex
	slots  []slot // by revision modulo their number; nil until something is traced
	owners *lru.Cache[int64, grant]
	asked  *lru.Cache[int64, struct{}] // leases that a client has asked to revoke
	traced map[int]*seen               // by process, also those that have ended, until the next one
	gone   []seen                      // of processes before these: nothing else is kept of them
	newest int64
	bytes  int           // of all slots, see maxBytes
	losses int           // see Losses
	next   chan struct{} // closed by the next Drained, if somebody waits
}

// seen are the revisions of which a process's requests are seen: those after from.
type seen struct {
	from, newest int64
	logged       bool // from is what the first write that it applied says
	ended        bool // newest is the last
}

func (s *seen) has(revision int64) bool {
	return s.from < revision && (!s.ended || revision <= s.newest)
}

// slot is what is known about a revision.
type slot struct {
	revision int64
	applied  *Applied
	writes   []*Write
}

type grant struct {
	by logrecord.Author
	at time.Time
}

// NewWindow has room for a fixed number of revisions, and takes its memory when
// something is traced.
func NewWindow() *Window {
	owners, _ := lru.New[int64, grant](leases) // fails for a size that is not positive
	asked, _ := lru.New[int64, struct{}](leases)
	return &Window{owners: owners, asked: asked, traced: map[int]*seen{}}
}

// Tracing says that the requests of a process are seen from now on, when its store
// is at a revision, or soon after: the first write that it applies tells. 0: that is
// not known, so they count from the first that is seen.
//
// What was seen of processes that have ended is forgotten, but for that it was seen:
// an etcd that is restored from a backup gives its revisions a second time, and it
// does so as another process.
func (w *Window) Tracing(pid int, revision int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if revision == 0 {
		revision = notSeen
	}
	for other, of := range w.traced {
		if of.ended || other == pid { // PIDs are used again
			delete(w.traced, other)
			w.replace(of, revision)
		}
	}
	if w.slots == nil {
		w.slots = make([]slot, size) // untouched, they take no memory yet
	} else {
		w.forget() // also what was seen of another one under this PID
	}
	w.traced[pid] = &seen{from: revision}
}

// replace notes what was seen of a process that has ended, as far as the one that
// comes after it began with these revisions. Whether they are the same, only the watch
// can tell.
func (w *Window) replace(of *seen, revision int64) {
	last := min(of.newest, revision)
	if of.from >= last {
		return
	}
	if len(w.gone) == replaced {
		w.gone = slices.Delete(w.gone, 0, 1)
	}
	w.gone = append(w.gone, seen{from: of.from, newest: last, ended: true})
}

// Ended says that the requests of a process are not seen any more. What was seen
// of it stays until the next one: the changes may come after it has ended.
func (w *Window) Ended(pid int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if of := w.traced[pid]; of != nil {
		of.ended = true
	}
}

// forget drops what was seen of all processes that are not in traced.
func (w *Window) forget() {
	w.newest = 0
	for i := range w.slots {
		s := &w.slots[i]
		w.bytes -= s.bytes()
		if s.applied != nil {
			if _, ok := w.traced[s.applied.PID]; !ok {
				s.applied = nil
			}
		}
		kept := s.writes[:0]
		for _, write := range s.writes {
			if _, ok := w.traced[write.PID]; ok {
				kept = append(kept, write)
			}
		}
		clear(s.writes[len(kept):])
		s.writes = kept
		w.bytes += s.bytes()
		if s.applied == nil && len(s.writes) == 0 {
			s.revision = 0
		}
		w.newest = max(w.newest, s.revision)
	}
}

// Served takes a request that was answered.
func (w *Window) Served(write *Write) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.slot(write.PID, write.Revision)
	if s == nil {
		return
	}
	w.bytes -= s.bytes()
	s.claim(write, maxBytes-w.bytes-s.bytes())
	w.bytes += s.bytes()
}

// claim adds a request to those that may have made the revision, without its keys if
// there is no room for these. One that has certainly made it takes the place of
// another where there is no other room.
func (s *slot) claim(write *Write, room int) {
	if len(s.writes) > 0 {
		room -= writeBytes
	}
	if write.keyBytes() > room {
		write.Puts, write.Deletes, write.Incomplete = nil, nil, true
	}
	if len(s.writes) < claims && room >= 0 {
		s.writes = append(s.writes, write)
		return
	}
	if at := slices.IndexFunc(s.writes, func(w *Write) bool { return !w.Certain }); at >= 0 && write.Certain {
		s.writes[at] = write
	}
}

// bytes is what a slot takes of maxBytes.
func (s *slot) bytes() int {
	n := max(len(s.writes)-1, 0) * writeBytes
	for _, write := range s.writes {
		n += write.keyBytes()
	}
	return n
}

// Applied takes a write that a member has applied. All members apply all writes,
// so those that are traced on this host agree.
func (w *Window) Applied(a *Applied) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if of := w.traced[a.PID]; of != nil && !of.logged && !of.ended && a.Revision > 0 {
		of.from, of.logged = a.Revision-1, true
	}
	if s := w.slot(a.PID, a.Revision); s != nil && (s.applied == nil || a.Here) {
		s.applied = a
	}
}

// slot gives the slot of a revision, nil if it is too old, or its process is not
// traced.
func (w *Window) slot(pid int, revision int64) *slot {
	of := w.traced[pid]
	if of == nil || of.ended || revision <= 0 {
		return nil
	}
	if of.from == notSeen {
		of.from = revision - 1
	}
	of.newest = max(of.newest, revision)
	s := &w.slots[revision%size]
	if s.revision > revision {
		return nil
	}
	if s.revision != revision {
		w.bytes -= s.bytes()
		clear(s.writes)
		*s = slot{revision: revision, writes: s.writes[:0]}
	}
	w.newest = max(w.newest, revision)
	return s
}

// Granted takes a lease that a client was granted. What tells the client stays.
func (w *Window) Granted(lease int64, by *logrecord.Author, at time.Time) {
	if g, ok := w.owners.Peek(lease); ok && g.by.Client.IsValid() && !by.Client.IsValid() {
		return
	}
	w.asked.Remove(lease)
	w.owners.Add(lease, grant{*by, at})
}

// Revoking takes that a client has asked for the end of a lease. It is told before
// what is applied then; a lease that ends by itself is revoked without.
func (w *Window) Revoking(lease int64) { w.asked.Add(lease, struct{}{}) }

// NotRevoked takes back Revoking: etcd has refused it.
func (w *Window) NotRevoked(lease int64) { w.asked.Remove(lease) }

// ended tells whether a write is the end of a lease that nobody asked for.
func (w *Window) ended(a *Applied) bool {
	return a.Operation == "lease_revoke" && !w.asked.Contains(a.Lease)
}

// Drained says that all is here that was traced up to now.
func (w *Window) Drained() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next != nil {
		close(w.next)
		w.next = nil
	}
}

// Lost says that something that was traced did not get here.
func (w *Window) Lost() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.losses++
}

// Losses is how often something was lost: what is Missed while that grows was
// probably lost.
func (w *Window) Losses() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.losses
}

// Begun tells whether anything has been traced so far.
func (w *Window) Begun() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.slots != nil
}

// Wait returns when it is known who made a revision, when that will not be known
// any more, and at the latest at until.
func (w *Window) Wait(ctx context.Context, revision int64, until time.Time) {
	var late <-chan time.Time
	for {
		drained := w.unsettled(revision)
		left := time.Until(until)
		if drained == nil || left <= 0 {
			return
		}
		if late == nil {
			timer := time.NewTimer(left)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-ctx.Done():
			return
		case <-late:
			return
		case <-drained:
		}
	}
}

// unsettled gives what to wait for, nil if nothing more can come.
func (w *Window) unsettled(revision int64) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.awaited(revision) || w.late(revision) {
		return nil
	}
	if s := &w.slots[revision%size]; s.revision == revision && s.applied != nil {
		if !s.applied.Here || w.ended(s.applied) {
			return nil
		}
		for _, write := range s.writes {
			if (write.Certain || write.Lease != 0) && s.applied.allows(write) {
				return nil
			}
		}
	}
	if w.next == nil {
		w.next = make(chan struct{})
	}
	return w.next
}

// awaited tells whether more may come of a revision.
func (w *Window) awaited(revision int64) bool {
	for _, of := range w.traced {
		if !of.ended && of.has(revision) {
			return true
		}
	}
	return false
}

// tracedAt tells whether a revision is one of those that were traced.
func (w *Window) tracedAt(revision int64) bool {
	for _, of := range w.traced {
		if of.has(revision) {
			return true
		}
	}
	return false
}

// forgotten tells whether a revision was seen of a process that another one has
// replaced.
func (w *Window) forgotten(revision int64) bool {
	return slices.ContainsFunc(w.gone, func(of seen) bool { return of.has(revision) })
}

// late tells whether a revision has left the window.
func (w *Window) late(revision int64) bool { return revision <= w.newest-size }

// Author tells who made a change. The author must stay as it is: changes of one request
// may share it.
func (w *Window) Author(c *Change) (*logrecord.Author, Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	traced, without := w.tracedAt(c.Revision), Missed
	if w.forgotten(c.Revision) {
		without = Late
	}
	switch {
	case !traced && without == Missed:
		return nil, Untraced
	case !traced, w.late(c.Revision):
		return nil, Late
	}
	s := &w.slots[c.Revision%size]
	if s.revision != c.Revision {
		return nil, without // its place is empty, or has a newer one
	}
	if write := s.author(c); write != nil {
		return s.applied.complete(&write.By), Joined
	}
	switch a := s.applied; {
	case a == nil:
		return nil, without
	case !a.Here:
		return a.author(), Elsewhere
	case w.ended(a) && c.Delete:
		return w.expired(a), Joined
	default:
		return a.author(), without
	}
}

// author is the request that made a change: the one that certainly changed
// something, or the only one that may have.
func (s *slot) author(c *Change) *Write {
	var found *Write
	several := false
	for _, write := range s.writes {
		if !s.applied.allows(write) || !write.made(c) {
			continue
		}
		if write.Certain {
			return write
		}
		several = found != nil
		found = write
	}
	if several {
		return nil
	}
	return found
}

// expired is the author of a lease's end: nobody asked for it.
func (w *Window) expired(a *Applied) *logrecord.Author {
	by := &logrecord.Author{Duration: -1}
	if g, ok := w.owners.Get(a.Lease); ok {
		*by = g.by
		by.Duration, by.Granted = -1, g.at
	}
	by.Source, by.Operation, by.LeaseID = metadata.AttributeEtcdAuthorSourceLease, "lease_expire", a.Lease
	return by
}
