// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

// The checks of this file look at the sequence of records: which, how often and in what order.

func (j *judge) checkFilter() {
	for _, it := range j.items {
		if it.Name != eventSnapshot && !j.rules.wants(it.key, it.Name) {
			j.blame(Filter, it.Run, it.revision, "%s of %q was not asked for", it.Name, it.key)
		}
	}
}

func (j *judge) checkOrdered() {
	last := map[epoch]int{}
	seen := map[epoch]map[int]bool{}
	run := 0
	for _, it := range j.items {
		if it.Run < run {
			j.blame(Ordered, it.Run, it.revision, "%s of %q came after run %d had begun", it.Name, it.key, run)
		}
		run = max(run, it.Run)
		if !it.change() {
			continue
		}
		e := it.epoch()
		if seen[e] == nil {
			seen[e], last[e] = map[int]bool{}, -1
		}
		switch { // the same change twice breaks another promise
		case seen[e][it.index]:
		case it.index < last[e]:
			j.blame(Ordered, it.Run, it.revision, "%s of %q came after %v", it.Name, it.key, &j.histories[it.history].due[last[e]])
		default:
			last[e] = it.index
		}
		seen[e][it.index] = true
	}
}

func (j *judge) checkUnique() {
	inEpoch := map[epoch]map[int]bool{}
	repeated := map[epoch]map[int64]int{} // revision: records
	for _, it := range j.items {
		if !it.change() {
			continue
		}
		e := it.epoch()
		if inEpoch[e] == nil {
			inEpoch[e], repeated[e] = map[int]bool{}, map[int64]int{}
		}
		switch {
		case inEpoch[e][it.index]:
			j.blame(Unique, it.Run, it.revision, "%s of %q came twice", it.Name, it.key)
		case it.repeat:
			repeated[e][it.revision]++
		}
		inEpoch[e][it.index] = true
	}
	for e, revisions := range repeated {
		if n := len(revisions); n > 0 {
			j.checkRepeats(e, revisions)
		}
	}
}

// checkRepeats allows one batch after a crash. A batch holds whole revisions, so the last one may exceed it.
func (j *judge) checkRepeats(e epoch, revisions map[int64]int) {
	records, largest, first := 0, 0, int64(0)
	for revision, n := range revisions {
		records, largest = records+n, max(largest, n)
		if first == 0 || revision < first {
			first = revision
		}
	}
	before := j.run(e.run - 1)
	switch most := max(before.Batches, 1) * batchRecords; {
	case !before.Killed:
		j.blame(Unique, e.run, first, "%d records came again though the run before ended in order", records)
	case records-largest >= most:
		j.blame(Unique, e.run, first, "%d records came again after a crash; at most %d may", records, most)
	}
}

// run gives what is known of a run.
func (j *judge) run(number int) Run {
	if number < 1 || number > len(j.runs) {
		return Run{}
	}
	return j.runs[number-1]
}

// delivery is what one epoch got of one revision.
type delivery struct {
	requests map[int]bool
	changes  map[int]bool
	last     bool // nothing of a later revision came in this epoch
}

func (j *judge) checkAtomic() {
	deliveries := map[epoch]map[int64]*delivery{}
	latest := map[epoch]int64{}
	for _, it := range j.items {
		if !it.change() {
			continue
		}
		e := it.epoch()
		if deliveries[e] == nil {
			deliveries[e] = map[int64]*delivery{}
		}
		d := deliveries[e][it.revision]
		if d == nil {
			d = &delivery{requests: map[int]bool{}, changes: map[int]bool{}}
			deliveries[e][it.revision] = d
		}
		d.requests[it.Request], d.changes[it.index] = true, true
		latest[e] = max(latest[e], it.revision)
	}
	for e, revisions := range deliveries {
		c := j.histories[e.history]
		for revision, d := range revisions {
			d.last = revision == latest[e]
			j.checkWhole(e, c, revision, d)
		}
	}
}

func (j *judge) checkWhole(e epoch, c *course, revision int64, d *delivery) {
	huge := c.huge(revision)
	if len(d.requests) > 1 && !huge {
		records, bytes := c.size(revision)
		j.blame(Atomic, e.run, revision, "its %d records of about %d bytes came in %d requests", records, bytes, len(d.requests))
	}
	from, to := c.revision(revision)
	if len(d.changes) == to-from || huge && d.last && j.run(e.run).Killed {
		return // a run may be killed in the midst of a huge one; the next one brings all of it
	}
	j.blame(Atomic, e.run, revision, "%d of its %d records came", len(d.changes), to-from)
	for i := from; i < to; i++ {
		c.blamed[i] = true
	}
}

// checkBookmarks compares with the checkpoints that were found between two runs.
func (j *judge) checkBookmarks() {
	last, lastHistory := int64(0), 0
	for number := range j.runs {
		number++
		checkpoint, history := j.run(number).Checkpoints[j.prefix], j.historyBefore(number)
		if checkpoint == 0 || j.forgot(number) || j.gapAgain[number] {
			continue // not known, or not believed, or of the history before
		}
		if history == lastHistory && checkpoint < last {
			j.blame(Bookmarkable, number, checkpoint, "the checkpoint fell, it was %d before", last)
		}
		j.checkBookmark(number, history, checkpoint)
		last, lastHistory = checkpoint, history
	}
}

// historyBefore gives the history that was valid when a run began.
func (j *judge) historyBefore(run int) int {
	history := 0
	for _, g := range j.gaps {
		if g.Run < run && g.reason == reasonHistory {
			history = min(g.history+1, len(j.histories)-1)
		}
	}
	return history
}

func (j *judge) checkBookmark(run, history int, checkpoint int64) {
	c := j.histories[history]
	came := make([]bool, len(c.due))
	for _, it := range j.items {
		switch {
		case it.history != history || !it.change():
		case it.Run < run:
			came[it.index] = true
		case it.Run == run && it.revision <= checkpoint:
			j.blame(Bookmarkable, run, it.revision, "%s of %q came though the checkpoint was %d", it.Name, it.key, checkpoint)
		}
	}
	for i := j.firstDue(history); i < len(c.due) && c.due[i].Revision <= checkpoint; i++ {
		if !came[i] && !c.blamed[i] && !j.excused(history, c.due[i].Revision) {
			c.blamed[i] = true
			j.blame(Bookmarkable, run, c.due[i].Revision, "the checkpoint is %d, but %v had not come", checkpoint, &c.due[i])
		}
	}
}

// firstDue is the index of the first change that must arrive.
func (j *judge) firstDue(history int) int {
	c := j.histories[history]
	if history > 0 {
		return 0 // all that may be missing lies in the gap between the histories
	}
	if j.rules.First > 0 {
		from, _ := c.revision(j.rules.First)
		return from
	}
	for _, it := range j.items {
		if it.history == 0 && it.Name == eventSnapshot {
			from, _ := c.revision(it.revision + 1)
			return from
		}
		if it.history == 0 && it.change() {
			return it.index
		}
	}
	return 0
}

// checkComplete finds missing changes. One that is missing where a run begins is told apart from one in its midst.
func (j *judge) checkComplete() {
	starts := map[epoch]bool{}
	for h, c := range j.histories {
		next := j.firstDue(h) // the first change that has not come
		for _, it := range j.items {
			if it.history != h || !it.change() {
				continue
			}
			start := !starts[it.epoch()]
			for i := next; i < it.index; i++ {
				if start {
					j.miss(Resumable, it.Run, h, i)
				} else {
					j.miss(Reliable, it.Run, h, i)
				}
			}
			if !it.repeat {
				starts[it.epoch()] = true
			}
			next = max(next, it.index+1)
		}
		for i := next; i < j.dueEnd(h); i++ {
			j.miss(Reliable, len(j.runs), h, i)
		}
		j.verdict.Changes += max(0, j.dueEnd(h)-j.firstDue(h))
		if h == len(j.histories)-1 && !c.arrived[j.end()] {
			j.blame(Reliable, len(j.runs), c.due[j.end()].Revision, "the end marker did not come")
		}
	}
}

// miss blames a change for not having come, unless it came at another place, a gap says it, or it was blamed already.
func (j *judge) miss(p Property, run, history, index int) {
	c := j.histories[history]
	if c.arrived[index] || c.blamed[index] {
		return
	}
	c.blamed[index] = true
	if j.excused(history, c.due[index].Revision) {
		j.verdict.Missing++
		return
	}
	j.blame(p, run, c.due[index].Revision, "%v did not come, and no gap says so", &c.due[index])
}
