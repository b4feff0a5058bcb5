// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"go.opentelemetry.io/collector/pdata/plog"
)

const (
	opPut    = "put"
	opDelete = "delete"
)

// change is one change of one key; no two changes of a cluster are equal.
type change struct {
	op       string
	key      string
	revision int64
}

func (c change) String() string { return fmt.Sprintf("%s %s rev %d", c.op, c.key, c.revision) }

// ledger compares the changes that were written with those that arrived. The comparison begins with the first change
// that arrived: the receiver starts to watch at some moment, and from then on everything counts. The last batch before a
// crash of the collector may arrive once more. Safe for concurrent use.
type ledger struct {
	// started is closed when the first change arrives.
	started chan struct{}
	// batches receives when a batch of changes arrives and somebody waits for it. It is not confirmed yet then.
	batches chan struct{}

	mu       sync.Mutex
	written  map[change]bool
	seen     map[change]int  // how often it arrived, without repeated
	first    int64           // revision of the first change that arrived; 0 before
	last     []change        // the last batch
	maybe    map[change]bool // what may arrive once more after a crash
	repeated int             // how many of maybe did
}

func newLedger() *ledger {
	return &ledger{
		started: make(chan struct{}), batches: make(chan struct{}),
		written: map[change]bool{}, seen: map[change]int{}, maybe: map[change]bool{},
	}
}

// wrote enters a change that etcd confirmed.
func (l *ledger) wrote(c change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.written[c] = true
}

// writes is how many changes were entered as written.
func (l *ledger) writes() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.written)
}

// collectorCrashed allows that the last batch arrives once more. The collector that sent it is gone and the next one has
// not begun.
func (l *ledger) collectorCrashed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.last {
		l.maybe[c] = true
	}
}

// arrived enters the changes of keys among the log records of one batch.
func (l *ledger) arrived(batch ...plog.LogRecord) {
	var changes []change
	for _, record := range batch {
		if c, ok := changeOf(record); ok {
			changes = append(changes, c)
		}
	}
	if len(changes) == 0 {
		return
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range changes {
		if l.maybe[c] {
			delete(l.maybe, c)
			l.repeated++
			continue
		}
		l.seen[c]++
	}
	l.last = changes
	if l.first == 0 {
		l.first = changes[0].revision
		close(l.started)
	}
	select {
	case l.batches <- struct{}{}:
	default:
	}
}

// changeOf reads a log record, if it is a change of a key.
func changeOf(record plog.LogRecord) (c change, ok bool) {
	switch record.EventName() {
	case "etcd.kv.put":
		c.op = opPut
	case "etcd.kv.delete":
		c.op = opDelete
	default:
		return change{}, false
	}
	if key, ok := record.Attributes().Get("etcd.key"); ok {
		c.key = key.Str()
	}
	if revision, ok := record.Attributes().Get("etcd.kv.mod_revision"); ok {
		c.revision = revision.Int()
	}
	return c, true
}

// balance is the comparison at one moment.
type balance struct {
	puts, deletes  int // written, from the first revision on
	putRecords     int
	deleteRecords  int
	first, last    int64 // first revision that arrived, last revision that was written
	revisions      int   // different revisions that arrived in that range
	missing, twice []change
	repeated       int     // changes of the last batch before a crash that arrived once more; not among twice
	holes          []int64 // revisions in that range of which nothing arrived
}

func (l *ledger) balance() balance {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := balance{first: l.first, repeated: l.repeated}
	for c := range l.written {
		if c.revision < l.first {
			continue
		}
		b.last = max(b.last, c.revision)
		if c.op == opPut {
			b.puts++
		} else {
			b.deletes++
		}
		if l.seen[c] == 0 {
			b.missing = append(b.missing, c)
		}
	}
	present := map[int64]bool{}
	for c, times := range l.seen {
		if c.op == opPut {
			b.putRecords += times
		} else {
			b.deleteRecords += times
		}
		if times > 1 {
			b.twice = append(b.twice, c)
		}
		if b.first <= c.revision && c.revision <= b.last {
			present[c.revision] = true
		}
	}
	b.revisions = len(present)
	for revision := b.first; revision <= b.last; revision++ {
		if !present[revision] {
			b.holes = append(b.holes, revision)
		}
	}
	byRevision := func(x, y change) int {
		return cmp.Or(cmp.Compare(x.revision, y.revision), cmp.Compare(x.key, y.key))
	}
	slices.SortFunc(b.missing, byRevision)
	slices.SortFunc(b.twice, byRevision)
	return b
}

// problems says in words what is wrong, nothing if all is well.
func (b balance) problems() []string {
	var problems []string
	add := func(what string, n int, first any) {
		if n > 0 {
			problems = append(problems, fmt.Sprintf("%d %s, the first is %v", n, what, first))
		}
	}
	if b.first == 0 {
		return []string{"no change arrived"}
	}
	add("written changes did not arrive", len(b.missing), firstOf(b.missing))
	add("changes arrived more than once", len(b.twice), firstOf(b.twice))
	add("revisions are missing", len(b.holes), firstOf(b.holes))
	return problems
}

func firstOf[T any](list []T) any {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}
