// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"slices"
	"strings"
)

// Property is what a violation is a violation of. The first nine are those of etcd's robustness tests.
type Property string

const (
	Filter       Property = "filter"       // only what was asked for arrives
	Ordered      Property = "ordered"      // within an epoch changes arrive in the order of the history
	Unique       Property = "unique"       // each change once; after a crash at most one batch again
	Atomic       Property = "atomic"       // a revision arrives whole and in one request
	Bookmarkable Property = "bookmarkable" // a checkpoint is never ahead of what arrived, and nothing at or below it comes again
	Resumable    Property = "resumable"    // a run begins where the one before ended
	Reliable     Property = "reliable"     // every change arrives, and every field of it is right
	PrevKV       Property = "prevkv"       // the previous state is the one of the revision before
	IsCreate     Property = "iscreate"     // create and mod revision are equal exactly if the key is new
	GapHonesty   Property = "gap honesty"  // a gap names what is missing, and nothing that is not
	Snapshot     Property = "snapshot"     // each key of one revision once, then what follows it
	RecordID     Property = "record id"    // equal changes have equal ids, others have not
	Body         Property = "body"         // the sentence says what the attributes say
)

// Rules are what the configuration promises about a run.
type Rules struct {
	Prefixes, Exclude []string // empty Prefixes: all keys
	NoDeletes         bool     // event switched off
	Policy            string   // of values; empty is size
	MaxBytes          int      // of a value; 0 is the default of 1024, negative is no limit
	NoBody            bool
	// First revision that is due in the first history; 0: everything from the first one that arrives.
	First int64
	// EndKey is the key that was written last; nothing behind its first put is judged as missing. With several prefixes
	// there is one below each.
	EndKey string
	// MayRefuse and MayForget allow gaps because the pipeline refused for good and because the checkpoint is lost.
	MayRefuse, MayForget bool
}

// batchRecords is the default of watch.batch.max_records. A revision above hugeFactor batches may be cut.
const (
	batchRecords = 1024
	batchBytes   = 1 << 20
	hugeFactor   = 2
)

// Run is one process of the collector.
type Run struct {
	// Killed: it ended by kill -9, so the next run may repeat up to that many batches.
	Killed  bool
	Batches int // 0 is 1
	// Checkpoints are the revisions in its storage before the run began, by prefix; those that are known.
	Checkpoints map[string]int64
}

// Violation is one broken promise.
type Violation struct {
	Property Property
	Run      int
	Revision int64
	What     string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: run %d, revision %d: %s", v.Property, v.Run, v.Revision, v.What)
}

// Verdict is the result of a verification.
type Verdict struct {
	NotJudged  []string // reasons; the rest means nothing unless it is empty
	Violations []Violation
	// Changes that are due, and how many of them lie in an announced gap. Repeats are records of changes that had
	// arrived already.
	Changes, Missing, Repeats, Gaps, Snapshots int
}

// Verify holds the records that arrived against the truth, each stream for itself. runs[i] is run i+1.
func Verify(truth Truth, arrived []Record, runs []Run, rules Rules) Verdict {
	if len(truth.Unsound) > 0 {
		return Verdict{NotJudged: truth.Unsound}
	}
	if rules.Policy == "" {
		rules.Policy = "size"
	}
	if rules.MaxBytes == 0 {
		rules.MaxBytes = 1024
	}
	streams := rules.streams()
	sum := split(arrived, streams)
	known := ids{owner: map[string]original{}, of: map[original]string{}}
	for _, s := range streams {
		sum.add(s.verify(truth, runs, known))
	}
	if len(sum.NotJudged) > 0 {
		return Verdict{NotJudged: sum.NotJudged}
	}
	return sum
}

func (s *stream) verify(truth Truth, runs []Run, known ids) Verdict {
	j := &judge{prefix: s.prefix, runs: runs, rules: s.rules, ids: known, gapAgain: map[int]bool{}}
	for i := range truth.Histories {
		j.histories = append(j.histories, newCourse(&truth.Histories[i], &j.rules))
	}
	if j.end() < 0 {
		return Verdict{NotJudged: []string{fmt.Sprintf("the end marker %q is not in the truth", s.rules.EndKey)}}
	}
	j.sort(s.arrived)
	j.checkFilter()
	j.checkOrdered()
	j.checkUnique()
	j.checkAtomic()
	j.checkBookmarks()
	j.checkComplete()
	j.checkFields()
	j.checkPrevious()
	j.checkCreate()
	j.checkGaps()
	j.checkSnapshots()
	j.checkIDs()
	j.checkBodies()
	return j.verdict
}

// judge is the state of one stream's verification: the records, sorted into what they are.
type judge struct {
	prefix    string
	runs      []Run
	rules     Rules
	histories []*course
	ids       ids // of all streams
	items     []item
	gaps      []gap
	gapAgain  map[int]bool // runs that repeated a gap of the run before
	verdict   Verdict
}

// course is a history as far as records of it are due.
type course struct {
	*History
	rules   *Rules
	due     []Change
	index   map[changeID]int // in due
	arrived []bool           // by index in due
	blamed  []bool           // by index in due: missing, and another property has said so
}

type changeID struct {
	revision int64
	key      string // as text
	name     string
}

func newCourse(h *History, rules *Rules) *course {
	c := &course{History: h, rules: rules, index: map[changeID]int{}}
	for _, change := range h.Changes {
		text := keyText(change.Key)
		if rules.wants(text, change.name()) {
			c.index[changeID{change.Revision, text, change.name()}] = len(c.due)
			c.due = append(c.due, change)
		}
	}
	c.arrived, c.blamed = make([]bool, len(c.due)), make([]bool, len(c.due))
	return c
}

// revision gives the indices in due of a revision, from the first to behind the last.
func (c *course) revision(r int64) (from, to int) {
	search := func(r int64) int {
		i, _ := slices.BinarySearchFunc(c.due, r, func(c Change, r int64) int { return int(c.Revision - r) })
		return i
	}
	return search(r), search(r + 1)
}

// size is how many records a revision has, and about how many bytes they take.
func (c *course) size(r int64) (records, bytes int) {
	from, to := c.revision(r)
	for i := from; i < to; i++ {
		bytes += c.rules.bytes(&c.due[i])
	}
	return to - from, bytes
}

// huge tells whether a revision may be cut.
func (c *course) huge(r int64) bool {
	records, bytes := c.size(r)
	return records > hugeFactor*batchRecords || bytes > hugeFactor*batchBytes
}

// bytes is about what the record of a change takes. The key is in the sentence as well.
func (r *Rules) bytes(c *Change) int {
	const others = 200 // names and numbers
	n := 2*len(c.Key) + others
	for _, s := range []*KeyState{c.New, c.Prev} {
		if s == nil {
			continue
		}
		shown := len(s.Value)
		if r.MaxBytes > 0 {
			shown = min(shown, r.MaxBytes)
		}
		switch r.Policy {
		case "text":
			n += shown
		case "base64":
			n += shown * 4 / 3
		}
	}
	return n
}

func (r *Rules) wants(key, name string) bool {
	return r.watches(key) && !(name == eventDelete && r.NoDeletes)
}

func (r *Rules) watches(key string) bool {
	has := func(prefix string) bool { return strings.HasPrefix(key, prefix) }
	return (len(r.Prefixes) == 0 || slices.ContainsFunc(r.Prefixes, has)) && !slices.ContainsFunc(r.Exclude, has)
}

// whole tells whether all keys are watched, so that positions inside a revision are those of the truth.
func (r *Rules) whole() bool {
	return len(r.Exclude) == 0 && !r.NoDeletes && (len(r.Prefixes) == 0 || slices.Contains(r.Prefixes, ""))
}

// item is a record of a change, or of a key in a snapshot, or of the end of a snapshot.
type item struct {
	*Record
	history  int
	revision int64
	key      string // as text
	origin   string // snapshot or resync; empty for a change
	index    int    // in due, of a change; -1 if there is no such change
	repeat   bool   // it had arrived before
}

// epoch is one run on one history.
type epoch struct{ run, history int }

func (i *item) epoch() epoch { return epoch{i.Run, i.history} }

// change tells whether the record is of a change that is due.
func (i *item) change() bool { return i.index >= 0 }

// sort tells what each record is, and to which history it belongs: a gap for the reason history_changed begins the
// next one.
func (j *judge) sort(arrived []Record) {
	history := 0
	for i := range arrived {
		r := &arrived[i]
		it := item{Record: r, history: history, index: -1, key: r.text("etcd.key"), origin: r.text("etcd.kv.origin")}
		switch r.Name {
		case eventGap:
			history = j.sortGap(r, history)
			continue
		case eventSnapshot:
			it.revision, _ = r.integer("etcd.snapshot.revision")
		case eventPut, eventDelete:
			it.revision, _ = r.integer("etcd.kv.mod_revision")
			if it.origin == "" {
				j.find(&it)
			}
		default:
			continue // of the status tier
		}
		j.items = append(j.items, it)
	}
}

func (j *judge) find(it *item) {
	c := j.histories[it.history]
	if at, ok := c.index[changeID{it.revision, it.key, it.Name}]; ok {
		it.index, it.repeat = at, c.arrived[at]
		c.arrived[at] = true
		if it.repeat {
			j.verdict.Repeats++
		}
	}
}

// end is the index in due of the end marker in the last history.
func (j *judge) end() int {
	c := j.histories[len(j.histories)-1]
	return slices.IndexFunc(c.due, func(c Change) bool { return c.Key == j.rules.EndKey && !c.delete() })
}

// dueEnd is how many changes of a history must arrive.
func (j *judge) dueEnd(history int) int {
	if history == len(j.histories)-1 {
		return j.end() + 1
	}
	return len(j.histories[history].due)
}

// mostPerProperty bounds the list: a broken run breaks a promise thousands of times in the same way.
const mostPerProperty = 5

func (j *judge) blame(p Property, run int, revision int64, format string, args ...any) {
	n := 0
	for _, v := range j.verdict.Violations {
		if v.Property == p {
			n++
		}
	}
	if n < mostPerProperty {
		what := fmt.Sprintf(format, args...)
		if j.prefix != "" {
			what = fmt.Sprintf("below %q: %s", j.prefix, what)
		}
		j.verdict.Violations = append(j.verdict.Violations, Violation{p, run, revision, what})
	}
}
