// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import "math"

// Reasons of a gap.
const (
	reasonCompacted = "compacted"
	reasonRefused   = "refused"
	reasonHistory   = "history_changed"
	reasonForgotten = "checkpoint_lost"
)

// gap is a record that says what is missing. Attributes that are absent are 0.
type gap struct {
	*Record
	history        int // before it
	from, to, next int64
	count          int64
	reason         string
}

// sortGap notes a gap and gives the history that is valid from then on.
func (j *judge) sortGap(r *Record, history int) int {
	g := gap{Record: r, history: history, reason: r.text("etcd.gap.reason")}
	g.from, _ = r.integer("etcd.gap.from_revision")
	g.to, _ = r.integer("etcd.gap.to_revision")
	g.next, _ = r.integer("etcd.gap.next_revision")
	g.count, _ = r.integer("etcd.gap.count")
	for i := range j.gaps { // it came, and the run ended before the position was stored
		old := &j.gaps[i]
		if old.Run < g.Run && old.from == g.from && old.to == g.to && old.reason == g.reason && j.run(g.Run-1).Killed {
			old.next = max(old.next, g.next)
			j.gapAgain[g.Run] = true
			return history
		}
	}
	j.gaps = append(j.gaps, g)
	j.verdict.Gaps++
	if g.reason == reasonHistory && history+1 < len(j.histories) {
		return history + 1
	}
	return history
}

// bounds gives the revisions of a history that a gap covers; from > to if it covers none.
//
// What lies between the gap and the revision at which the stream goes on is covered as well: a snapshot of that
// revision stands for it.
func (g *gap) bounds(history int) (from, to int64) {
	switch {
	case g.reason == reasonHistory && history == g.history:
		return g.from, math.MaxInt64
	case g.reason == reasonHistory && history == g.history+1:
		return 0, g.next - 1
	case history == g.history:
		return g.from, max(g.to, g.next-1)
	}
	return 1, 0
}

func (j *judge) excused(history int, revision int64) bool {
	for i := range j.gaps {
		if from, to := j.gaps[i].bounds(history); from <= revision && revision <= to {
			return true
		}
	}
	return false
}

// forgot tells whether a run said that the position is lost.
func (j *judge) forgot(run int) bool {
	for _, g := range j.gaps {
		if g.Run == run && g.reason == reasonForgotten {
			return true
		}
	}
	return false
}

func (j *judge) checkGaps() {
	for i := range j.gaps {
		g := &j.gaps[i]
		j.checkBounds(g)
		j.checkReason(g)
		j.checkCovered(g)
	}
}

// checkCovered finds changes that came though a gap says that they are missing. A run that begins after a crash does not
// know of the last batch before it.
func (j *judge) checkCovered(g *gap) {
	if g.reason == reasonForgotten && g.from == 0 {
		return // it does not claim to know what came
	}
	unknown := 0
	for _, it := range j.items {
		from, to := g.bounds(it.history)
		if !it.change() || it.revision < from || it.revision > to {
			continue
		}
		if before := j.run(g.Run - 1); it.Run == g.Run-1 && before.Killed && unknown < max(before.Batches, 1)*batchRecords {
			unknown++
			continue
		}
		j.blame(GapHonesty, g.Run, g.from, "the gap of %d..%d (%s) covers %v, which came in run %d", g.from, g.to, g.reason,
			&j.histories[it.history].due[it.index], it.Run)
		return
	}
}

func (j *judge) checkBounds(g *gap) {
	blame := func(format string, args ...any) { j.blame(GapHonesty, g.Run, g.from, format, args...) }
	if g.from == 0 && g.reason != reasonForgotten {
		blame("the gap (%s) has no first revision", g.reason)
	}
	if g.to != 0 && g.to < g.from {
		blame("the gap ends at %d, before it begins", g.to)
	}
	if g.reason == reasonCompacted && g.to == 0 {
		blame("the gap has no last revision")
	}
	if g.reason != reasonHistory && g.to != 0 && g.next != 0 {
		if g.next <= g.to {
			blame("the gap ends at %d but the stream goes on at %d", g.to, g.next)
		}
		if g.next > g.to+1 && !j.snapshotAt(g.history, g.next-1) {
			blame("the gap ends at %d, the stream goes on at %d, and no snapshot stands for what is between", g.to, g.next)
		}
	}
	if g.count != 0 && g.to != 0 {
		c := j.histories[g.history]
		first, _ := c.revision(g.from)
		_, last := c.revision(g.to)
		if int64(last-first) != g.count {
			blame("the gap counts %d changes, there are %d", g.count, last-first)
		}
	}
}

func (j *judge) checkReason(g *gap) {
	isTrue := false
	switch g.reason {
	case reasonCompacted:
		isTrue = j.histories[g.history].Compacted > g.to
	case reasonRefused:
		isTrue = j.rules.MayRefuse
	case reasonForgotten:
		isTrue = j.rules.MayForget
	case reasonHistory:
		isTrue = g.history+1 < len(j.histories)
	}
	if !isTrue {
		j.blame(GapHonesty, g.Run, g.from, "the reason of the gap of %d..%d, %q, is not true", g.from, g.to, g.reason)
	}
}
