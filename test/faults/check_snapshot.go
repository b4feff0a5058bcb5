// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

func (j *judge) snapshotAt(history int, revision int64) bool {
	for _, it := range j.items {
		if it.Name == eventSnapshot && it.history == history && it.revision >= revision {
			return true
		}
	}
	return false
}

// checkSnapshots judges each snapshot when its end is announced. A run that crashed in the midst of one leaves keys
// behind that the next run need not bring again.
func (j *judge) checkSnapshots() {
	var open []item
	for n, it := range j.items {
		switch {
		case it.Name == eventSnapshot:
			j.checkSnapshot(&j.items[n], open)
			j.checkAfterSnapshot(&j.items[n], j.items[n+1:])
			open = nil
			j.verdict.Snapshots++
		case it.origin != "":
			open = append(open, it)
		}
	}
	if len(open) > 0 {
		last := open[len(open)-1]
		j.blame(Snapshot, last.Run, last.revision, "no end was announced after %d keys", len(open))
	}
}

func (j *judge) checkSnapshot(end *item, keys []item) {
	blame := func(format string, args ...any) { j.blame(Snapshot, end.Run, end.revision, format, args...) }
	state := map[string]*KeyState{} // by text
	for key, s := range j.histories[end.history].stateAt(end.revision) {
		if text := keyText(key); j.rules.wants(text, eventPut) {
			state[text] = s
		}
	}
	since, next := j.span(end)
	came, repeats := map[string]int{}, 0
	for _, it := range keys {
		switch s := state[it.key]; {
		case it.Name == eventDelete && s != nil:
			blame("%q is said to be gone, but it exists", it.key)
		case it.Name == eventDelete:
			continue
		case it.revision >= next:
			blame("%q is of revision %d, whose changes come as such", it.key, it.revision)
		case s == nil:
			blame("%q does not exist", it.key)
		case it.revision != s.Mod:
			blame("%q is of revision %d, it should be %d", it.key, it.revision, s.Mod)
		default:
			j.checkState(Snapshot, it.Record, s)
		}
		if run, ok := came[it.key]; ok && run == it.Run {
			blame("%q came twice", it.key)
		} else if ok {
			repeats++
		}
		came[it.key] = it.Run
	}
	if repeats > batchRecords {
		blame("%d keys came again after a crash", repeats)
	}
	for key, s := range state {
		if _, ok := came[key]; !ok && since <= s.Mod && s.Mod < next {
			blame("%q is missing", key)
		}
	}
	if n, ok := end.integer("etcd.snapshot.count"); ok && int(n) != len(keys)-repeats {
		blame("%d keys are announced, %d came", n, len(keys)-repeats)
	}
}

// span tells which of the keys are due: those that changed last in [since, next). The initial snapshot has all that
// exist, and the stream goes on behind it. A resync has what changed in the gap; its revision may be one that the
// stream still brings, and what changed there comes as a change.
func (j *judge) span(end *item) (since, next int64) {
	next = end.revision + 1
	if end.text("etcd.kv.origin") != "resync" {
		return 0, next
	}
	for _, g := range j.gaps {
		switch {
		case g.Request > end.Request:
		case g.reason == reasonHistory && g.history+1 == end.history, g.reason == reasonForgotten && g.history == end.history:
			since, next = 0, g.next
		case g.history == end.history:
			since, next = g.from, g.next
		}
	}
	if next == 0 {
		next = end.revision + 1
	}
	return since, min(next, end.revision+1)
}

// checkAfterSnapshot finds changes that are older than what the snapshot told.
func (j *judge) checkAfterSnapshot(end *item, after []item) {
	_, next := j.span(end)
	for _, it := range after {
		if it.epoch() == end.epoch() && it.change() && it.revision < next {
			j.blame(Snapshot, it.Run, it.revision, "%s of %q came after the snapshot of %d", it.Name, it.key, end.revision)
		}
	}
}
