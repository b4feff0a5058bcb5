// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	endKey      = "/end"
	testCluster = "00000000000000aa"
)

func put(key, value string) Op { return Op{Key: key, Value: []byte(value)} }

func del(key string) Op { return Op{Delete: true, Key: key} }

// stored is a checkpoint of the whole key space.
func stored(revision int64) map[string]int64 { return map[string]int64{"": revision} }

// observe plays writes, one revision each from base+1 on, on a perfect etcd.
func observe(cluster string, base int64, state Space, writes ...[]Op) Observed {
	o := Observed{Cluster: cluster, Base: base, BaseState: state, Leases: map[int64]bool{7: true}}
	space := state.clone()
	if space == nil {
		space = Space{}
	}
	for i, ops := range writes {
		revision := max(base, 1) + int64(i) + 1
		changes := space.plan(revision, ops)
		space.apply(changes)
		o.Seen = append(o.Seen, changes...)
		w := Write{Ops: ops, Revision: revision}
		w.Deleted = len(changes) - w.puts()
		o.Writes = append(o.Writes, w)
	}
	return o
}

// ordinary has all kinds of changes, in revisions 2 to 9.
func ordinary() Observed {
	return observe(testCluster, 0, nil,
		[]Op{put("/a", "1")},
		[]Op{put("/a", "22")},
		[]Op{put("/t/1", "x"), put("/t/2", "y"), put("/t/3", "z")},
		[]Op{{Key: "/leased", Value: []byte("v"), Lease: 7}},
		[]Op{{Delete: true, Key: "/t/", End: "/t0"}},
		[]Op{put("/bin\xff", "\x00\xff")},
		[]Op{del("/a")},
		[]Op{put(endKey, "")},
	)
}

// recordOf is a right record of a change. Its attributes are written down here once more, on purpose.
func recordOf(c Change, run, request int) Record {
	r := Record{Run: run, Request: request, Name: c.name(), Cluster: testCluster, Attrs: map[string]any{
		"etcd.key": keyText(c.Key), "etcd.kv.mod_revision": c.Revision, "etcd.kv.sub_index": int64(c.Sub),
		"log.record.uid": fmt.Sprintf("%s %d %q", c.name(), c.Revision, c.Key),
	}}
	r.Body = fmt.Sprintf("delete %s rev %d", keyText(c.Key), c.Revision)
	if s := c.New; s != nil {
		r.Body = fmt.Sprintf("put %s rev %d (%d B, version %d)", keyText(c.Key), c.Revision, len(s.Value), s.Version)
		describe(r.Attrs, s)
	}
	if p := c.Prev; p != nil {
		r.Attrs["etcd.kv.prev_mod_revision"], r.Attrs["etcd.kv.prev_value_size"] = p.Mod, int64(len(p.Value))
		if c.New == nil {
			r.Attrs["etcd.kv.create_revision"] = p.Create
			describeLease(r.Attrs, p)
		}
	}
	return r
}

func describe(attrs map[string]any, s *KeyState) {
	attrs["etcd.kv.create_revision"], attrs["etcd.kv.version"], attrs["etcd.kv.value_size"] = s.Create, s.Version, int64(len(s.Value))
	describeLease(attrs, s)
}

func describeLease(attrs map[string]any, s *KeyState) {
	if s.Lease != 0 {
		attrs["etcd.lease.id"] = fmt.Sprintf("%016x", s.Lease)
	}
}

// recordsOf gives each revision a request of its own.
func recordsOf(run int, changes []Change) []Record {
	var out []Record
	for _, c := range changes {
		out = append(out, recordOf(c, run, run*100000+int(c.Revision)))
	}
	return out
}

func gapRecord(run int, reason string, from, to, next int64) Record {
	r := Record{Run: run, Request: run * 100000, Name: eventGap, Cluster: testCluster, Body: fmt.Sprintf("revisions %d..%d missing: %s; the stream goes on at %d", from, to, reason, next)}
	r.Attrs = map[string]any{"etcd.gap.reason": reason}
	for name, v := range map[string]int64{"etcd.gap.from_revision": from, "etcd.gap.to_revision": to, "etcd.gap.next_revision": next} {
		if v != 0 {
			r.Attrs[name] = v
		}
	}
	return r
}

// snapshotRecords is a right snapshot.
func snapshotRecords(run int, origin string, h *History, revision int64) []Record {
	var out []Record
	state := h.stateAt(revision)
	for _, key := range slices.Sorted(maps.Keys(state)) {
		s := state[key]
		r := Record{Run: run, Request: run * 100000, Name: eventPut, Cluster: testCluster, Attrs: map[string]any{
			"etcd.key": keyText(key), "etcd.kv.mod_revision": s.Mod, "etcd.kv.origin": origin,
		}}
		describe(r.Attrs, s)
		r.Body = fmt.Sprintf("exists %s rev %d (%d B, version %d)", keyText(key), s.Mod, len(s.Value), s.Version)
		out = append(out, r)
	}
	return append(out, Record{Run: run, Request: run * 100000, Name: eventSnapshot, Cluster: testCluster, Attrs: map[string]any{
		"etcd.kv.origin": origin, "etcd.snapshot.revision": revision, "etcd.snapshot.count": int64(len(state)),
	}})
}

// deal is the input of a verification.
type deal struct {
	truth   Truth
	arrived []Record
	runs    []Run
	rules   Rules
}

func (d *deal) verify() Verdict { return Verify(d.truth, d.arrived, d.runs, d.rules) }

// at gives the index of the first record of a revision in a run.
func (d *deal) at(run int, revision int64) int {
	return slices.IndexFunc(d.arrived, func(r Record) bool { return r.Run == run && r.Attrs["etcd.kv.mod_revision"] == revision })
}

func (d *deal) attrs(run int, revision int64) map[string]any {
	return d.arrived[d.at(run, revision)].Attrs
}

func (d *deal) drop(from, to int64) {
	d.arrived = slices.DeleteFunc(d.arrived, func(r Record) bool {
		revision, _ := r.integer("etcd.kv.mod_revision")
		return r.text("etcd.kv.origin") == "" && revision >= from && revision <= to
	})
}

func between(changes []Change, from, to int64) []Change {
	return slices.DeleteFunc(slices.Clone(changes), func(c Change) bool { return c.Revision < from || c.Revision > to })
}

// oneRun is clean: one run of the collector sees all.
func oneRun() *deal {
	truth := BuildTruth([]Observed{ordinary()})
	return &deal{truth, recordsOf(1, truth.Histories[0].Changes), []Run{{}}, Rules{EndKey: endKey, First: 2}}
}

// twoRuns is clean: the first run is killed after revision 6 with the checkpoint at 5, so 6 comes again.
func twoRuns() *deal {
	d := oneRun()
	changes := d.truth.Histories[0].Changes
	d.arrived = append(recordsOf(1, between(changes, 2, 6)), recordsOf(2, between(changes, 6, 9))...)
	d.runs = []Run{{Killed: true}, {Checkpoints: stored(5)}}
	return d
}

// compacted is clean: the second run finds revisions 4 to 6 compacted, and resyncs.
func compacted() *deal {
	o := ordinary()
	o.Compacted = 7
	d := &deal{truth: BuildTruth([]Observed{o}), runs: []Run{{Killed: true}, {Checkpoints: stored(3)}}, rules: Rules{EndKey: endKey, First: 2}}
	h := &d.truth.Histories[0]
	resync := slices.DeleteFunc(snapshotRecords(2, "resync", h, 7), func(r Record) bool {
		revision, ok := r.integer("etcd.kv.mod_revision")
		return ok && revision < 4
	})
	resync[len(resync)-1].Attrs["etcd.snapshot.count"] = int64(len(resync) - 1)
	d.arrived = slices.Concat(
		recordsOf(1, between(h.Changes, 2, 3)),
		[]Record{gapRecord(2, reasonCompacted, 4, 6, 8)}, resync,
		recordsOf(2, between(h.Changes, 8, 9)),
	)
	return d
}

// forgotBatch is clean: revision 4 had arrived, but the run was killed before it could store that.
func forgotBatch() *deal {
	d := compacted()
	d.arrived = slices.Insert(d.arrived, 2, recordsOf(1, between(d.truth.Histories[0].Changes, 4, 4))...)
	return d
}

// resyncedBefore is clean: the resync reads revision 7 but leaves out what changed there, which the stream brings.
func resyncedBefore() *deal {
	d := compacted()
	d.arrived[2] = gapRecord(2, reasonCompacted, 4, 6, 7)
	i := d.at(2, 7)
	d.arrived = slices.Delete(d.arrived, i, i+1)
	end := slices.IndexFunc(d.arrived, func(r Record) bool { return r.Name == eventSnapshot })
	d.arrived[end].Attrs["etcd.snapshot.count"] = int64(1)
	d.arrived = slices.Insert(d.arrived, end+1, recordOf(between(d.truth.Histories[0].Changes, 7, 7)[0], 2, 200007))
	return d
}

// rewound is clean: restored at revision 4, written on to 8; the second run goes on at 7 of the new history.
func rewound() *deal {
	before := ordinary()
	base := Space{}
	base.apply(between(before.Seen, 2, 4))
	after := observe(testCluster, 4, base, []Op{put("/a", "new")}, []Op{put("/b", "")}, []Op{put("/c", "")}, []Op{put(endKey, "")})
	d := &deal{truth: BuildTruth([]Observed{before, after}), runs: []Run{{Killed: true}, {Checkpoints: stored(7)}}, rules: Rules{EndKey: endKey, First: 2}}
	d.arrived = slices.Concat(
		recordsOf(1, between(before.Seen, 2, 7)),
		[]Record{gapRecord(2, reasonHistory, 8, 0, 7)},
		recordsOf(2, between(d.truth.Histories[1].Changes, 7, 8)),
	)
	for i := range d.arrived { // ids of the new history are others
		if r := &d.arrived[i]; r.Run == 2 && r.Name != eventGap {
			r.Attrs["log.record.uid"] = "new " + r.text("log.record.uid")
		}
	}
	return d
}

// snapshotted is clean: the first run begins with a snapshot of revision 5.
func snapshotted() *deal {
	d := oneRun()
	d.rules.First = 0
	h := &d.truth.Histories[0]
	d.arrived = append(snapshotRecords(1, "snapshot", h, 5), recordsOf(1, between(h.Changes, 6, 9))...)
	return d
}

// huge is clean: a run is killed in the midst of a revision that may be cut, and the next brings it whole.
func huge() *deal {
	var ops []Op
	for i := range hugeFactor*batchRecords + 1 {
		ops = append(ops, put(fmt.Sprintf("/h/%05d", i), ""))
	}
	truth := BuildTruth([]Observed{observe(testCluster, 0, nil, []Op{put("/a", "")}, ops, []Op{put(endKey, "")})})
	changes := truth.Histories[0].Changes
	d := &deal{truth, append(recordsOf(1, changes[:1001]), recordsOf(2, changes[1:])...), []Run{{Killed: true}, {Checkpoints: stored(2)}}, Rules{EndKey: endKey, First: 2}}
	for i := 2000; i < len(d.arrived); i++ {
		d.arrived[i].Request += i / batchRecords
	}
	return d
}

func TestVerifierPassesWhatIsRight(t *testing.T) {
	for name, tc := range map[string]struct {
		deal *deal
		want Verdict
	}{
		"one run":                           {oneRun(), Verdict{Changes: 12}},
		"a crash and a repeat":              {twoRuns(), Verdict{Changes: 12, Repeats: 3}},
		"a compaction and a resync":         {compacted(), Verdict{Changes: 12, Missing: 8, Gaps: 1, Snapshots: 1}},
		"a resync without what comes again": {resyncedBefore(), Verdict{Changes: 12, Missing: 7, Gaps: 1, Snapshots: 1}},
		"a restore from a backup":           {rewound(), Verdict{Changes: 16, Missing: 4, Gaps: 1}},
		"an initial snapshot":               {snapshotted(), Verdict{Changes: 6, Snapshots: 1}},
		"a crash in a huge revision":        {huge(), Verdict{Changes: hugeFactor*batchRecords + 3, Repeats: 1000}},
		"a gap over what a crash forgot":    {forgotBatch(), Verdict{Changes: 12, Missing: 5, Gaps: 1, Snapshots: 1}},
		"a batch is refused for good":       {refused(), Verdict{Changes: 12, Missing: 1, Gaps: 1}},
		"previous state is compacted":       {withoutPrevious(), Verdict{Changes: 12}},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, tc.want, tc.deal.verify()) })
	}
}

func withoutPrevious() *deal {
	d := oneRun()
	d.truth.Histories[0].Compacted = 9
	for _, name := range []string{"etcd.kv.prev_mod_revision", "etcd.kv.prev_value_size", "etcd.kv.create_revision"} {
		delete(d.attrs(1, 8), name)
	}
	return d
}

// Each case breaks one promise. That the verifier names it, and no other, shows that each check can fail.
func TestVerifierNamesTheBrokenPromise(t *testing.T) {
	for name, tc := range map[string]struct {
		deal    *deal
		breakIt func(d *deal)
		want    Property
	}{
		"an excluded key arrives": {oneRun(), func(d *deal) {
			d.rules.Exclude = []string{"/leased"}
			d.rules.Prefixes = []string{""}
		}, Filter},
		"a key of another prefix arrives": {oneRun(), func(d *deal) { d.rules.Prefixes = []string{"/e"} }, Filter},
		"a delete arrives that is off":    {oneRun(), func(d *deal) { d.rules.NoDeletes = true; d.drop(6, 6) }, Filter},
		"two revisions change places": {oneRun(), func(d *deal) {
			a, b := d.at(1, 2), d.at(1, 3)
			d.arrived[a], d.arrived[b] = d.arrived[b], d.arrived[a]
		}, Ordered},
		"two changes of a revision change places": {oneRun(), func(d *deal) {
			i := d.at(1, 4)
			d.arrived[i], d.arrived[i+1] = d.arrived[i+1], d.arrived[i]
		}, Ordered},
		"an old change arrives late": {twoRuns(), func(d *deal) {
			i := d.at(2, 6)
			late := slices.Clone(d.arrived[i : i+3])
			d.arrived = append(slices.Delete(d.arrived, i, i+3), late...)
		}, Ordered},
		"a change arrives twice in a run": {oneRun(), func(d *deal) {
			i := d.at(1, 5)
			d.arrived = slices.Insert(d.arrived, i, d.arrived[i])
		}, Unique},
		"repeats after an orderly end":    {twoRuns(), func(d *deal) { d.runs[0].Killed = false }, Unique},
		"more than a batch after a crash": {manyRepeats(), func(*deal) {}, Unique},
		"a revision is cut over requests": {oneRun(), func(d *deal) { d.arrived[d.at(1, 4)+1].Request++ }, Atomic},
		"a revision lacks a record":       {oneRun(), func(d *deal) { d.arrived = slices.Delete(d.arrived, d.at(1, 4), d.at(1, 4)+1) }, Atomic},
		"a huge one lacks a record":       {huge(), func(d *deal) { d.arrived = slices.Delete(d.arrived, 3000, 3001) }, Atomic},
		"a checkpoint is ahead": {twoRuns(), func(d *deal) {
			d.runs[1].Checkpoints = stored(7)
			d.drop(7, 7)
			d.arrived = slices.Delete(d.arrived, d.at(2, 6), d.at(2, 6)+3)
		}, Bookmarkable},
		"a record is below the checkpoint": {twoRuns(), func(d *deal) { d.runs[1].Checkpoints = stored(6) }, Bookmarkable},
		"a checkpoint falls":               {twoRuns(), func(d *deal) { d.runs = append(d.runs, Run{Checkpoints: stored(4)}) }, Bookmarkable},
		"a run begins too late":            {twoRuns(), func(d *deal) { d.drop(7, 7) }, Resumable},
		"the first run begins too late":    {oneRun(), func(d *deal) { d.drop(2, 3) }, Resumable},
		"the new history begins too late":  {rewound(), func(d *deal) { d.arrived = slices.Delete(d.arrived, d.at(2, 7), d.at(2, 7)+1) }, Resumable},
		"a revision is missing":            {oneRun(), func(d *deal) { d.drop(5, 5) }, Reliable},
		"the end is missing":               {oneRun(), func(d *deal) { d.drop(9, 9) }, Reliable},
		"a change was never made": {oneRun(), func(d *deal) {
			d.arrived = append(d.arrived, recordOf(Change{Revision: 99, Key: "/x", New: &KeyState{Create: 99}}, 1, 99))
		}, Reliable},
		"a value differs":                    {oneRun(), func(d *deal) { d.attrs(1, 3)["etcd.kv.value_size"] = int64(1) }, Reliable},
		"a version differs":                  {oneRun(), func(d *deal) { d.attrs(1, 3)["etcd.kv.version"] = int64(1) }, Reliable},
		"a create revision differs":          {twice(), func(d *deal) { d.attrs(1, 4)["etcd.kv.create_revision"] = int64(3) }, Reliable},
		"a position in its revision differs": {oneRun(), func(d *deal) { d.attrs(1, 2)["etcd.kv.sub_index"] = int64(1) }, Reliable},
		"a lease is missing":                 {oneRun(), func(d *deal) { delete(d.attrs(1, 5), "etcd.lease.id") }, Reliable},
		"another cluster":                    {oneRun(), func(d *deal) { d.arrived[0].Cluster = "00000000000000bb" }, Reliable},
		"a previous state is missing":        {oneRun(), func(d *deal) { delete(d.attrs(1, 3), "etcd.kv.prev_mod_revision") }, PrevKV},
		"a previous size differs":            {oneRun(), func(d *deal) { d.attrs(1, 8)["etcd.kv.prev_value_size"] = int64(1) }, PrevKV},
		"a previous state of a new key":      {oneRun(), func(d *deal) { d.attrs(1, 2)["etcd.kv.prev_mod_revision"] = int64(1) }, PrevKV},
		"what was deleted is older":          {oneRun(), func(d *deal) { d.attrs(1, 8)["etcd.kv.create_revision"] = int64(3) }, PrevKV},
		"a new key is said to be old":        {oneRun(), func(d *deal) { d.attrs(1, 2)["etcd.kv.create_revision"] = int64(1) }, IsCreate},
		"an old key is said to be new":       {oneRun(), func(d *deal) { d.attrs(1, 3)["etcd.kv.create_revision"] = int64(3) }, IsCreate},
		"a gap over what came": {oneRun(), func(d *deal) {
			d.truth.Histories[0].Compacted = 9
			d.arrived = append(d.arrived, gapRecord(1, reasonCompacted, 3, 3, 4))
		}, GapHonesty},
		"a gap over what came before an orderly end": {compacted(), func(d *deal) {
			d.runs[0].Killed = false
			d.arrived = slices.Insert(d.arrived, 2, recordOf(between(d.truth.Histories[0].Changes, 5, 5)[0], 1, 100005))
			d.arrived = slices.Insert(d.arrived, 2, recordsOf(1, between(d.truth.Histories[0].Changes, 4, 4))...)
		}, GapHonesty},
		"a gap for no compaction":            {compacted(), func(d *deal) { d.truth.Histories[0].Compacted = 0 }, GapHonesty},
		"a gap for no refusal":               {oneRun(), func(d *deal) { d.drop(5, 5); d.arrived = append(d.arrived, gapRecord(1, reasonRefused, 5, 5, 6)) }, GapHonesty},
		"a gap for a position that was kept": {oneRun(), func(d *deal) { d.arrived = append([]Record{gapRecord(1, reasonForgotten, 0, 0, 2)}, d.arrived...) }, GapHonesty},
		"a gap for the same history":         {oneRun(), func(d *deal) { d.arrived = append(d.arrived, gapRecord(1, reasonHistory, 10, 0, 2)) }, GapHonesty},
		"a gap that ends before it begins":   {compacted(), func(d *deal) { d.arrived[2] = gapRecord(2, reasonCompacted, 4, 3, 8) }, GapHonesty},
		"a gap with a wrong count":           {compacted(), func(d *deal) { d.arrived[2].Attrs["etcd.gap.count"] = int64(6) }, GapHonesty},
		"a gap that goes on within itself":   {refused(), func(d *deal) { d.arrived[5] = gapRecord(1, reasonRefused, 5, 5, 5) }, GapHonesty},
		"a gap that hides more":              {refused(), func(d *deal) { d.arrived[5] = gapRecord(1, reasonRefused, 5, 5, 7); d.drop(6, 6) }, GapHonesty},
		"a gap without a beginning": {oneRun(), func(d *deal) {
			d.rules.MayRefuse = true
			d.arrived = append(d.arrived, gapRecord(1, reasonRefused, 0, 1, 2))
		}, GapHonesty},
		"a snapshot lacks a key": {snapshotted(), func(d *deal) { d.arrived = d.arrived[1:]; d.arrived[4].Attrs["etcd.snapshot.count"] = int64(4) }, Snapshot},
		"a snapshot has a key twice": {snapshotted(), func(d *deal) {
			d.arrived = slices.Insert(d.arrived, 0, d.arrived[0])
			d.arrived[6].Attrs["etcd.snapshot.count"] = int64(6)
		}, Snapshot},
		"a snapshot of another revision": {snapshotted(), func(d *deal) {
			d.arrived[0].Attrs["etcd.kv.mod_revision"] = int64(2)
			d.arrived[0].Body = "exists /a rev 2"
		}, Snapshot},
		"a snapshot with another version": {snapshotted(), func(d *deal) { d.arrived[0].Attrs["etcd.kv.version"] = int64(1) }, Snapshot},
		"a snapshot miscounts":            {snapshotted(), func(d *deal) { d.arrived[5].Attrs["etcd.snapshot.count"] = int64(4) }, Snapshot},
		"a snapshot has no end":           {snapshotted(), func(d *deal) { d.arrived = slices.Delete(d.arrived, 5, 6); d.rules.First = 6 }, Snapshot},
		"an old change after a snapshot": {snapshotted(), func(d *deal) {
			d.arrived = slices.Insert(d.arrived, 6, recordOf(d.truth.Histories[0].Changes[5], 1, 1))
		}, Snapshot},
		"a resync lacks a key": {compacted(), func(d *deal) {
			d.arrived = slices.Delete(d.arrived, 3, 4)
			d.arrived[4].Attrs["etcd.snapshot.count"] = int64(1)
		}, Snapshot},
		"a resync has a key that comes again": {compacted(), func(d *deal) {
			d.arrived[2] = gapRecord(2, reasonCompacted, 4, 6, 7)
			d.arrived = slices.Insert(d.arrived, d.at(2, 8), recordOf(between(d.truth.Histories[0].Changes, 7, 7)[0], 2, 200007))
		}, Snapshot},
		"two changes share an id":       {oneRun(), func(d *deal) { d.attrs(1, 3)["log.record.uid"] = d.attrs(1, 2)["log.record.uid"] }, RecordID},
		"a repeat has another id":       {twoRuns(), func(d *deal) { d.attrs(2, 6)["log.record.uid"] = "other" }, RecordID},
		"two histories share an id":     {sharedIDs(), func(*deal) {}, RecordID},
		"a body says another revision":  {oneRun(), func(d *deal) { d.arrived[0].Body = "put /a rev 3" }, Body},
		"a body though it is off":       {oneRun(), func(d *deal) { d.rules.NoBody = true }, Body},
		"a gap's body hides the reason": {compacted(), func(d *deal) { d.arrived[2].Body = "revisions 4..6 missing" }, Body},
	} {
		t.Run(name, func(t *testing.T) {
			require.Empty(t, tc.deal.truth.Unsound)
			tc.breakIt(tc.deal)
			verdict := tc.deal.verify()
			require.Empty(t, verdict.NotJudged)
			require.NotEmpty(t, verdict.Violations)
			for _, v := range verdict.Violations {
				assert.Equal(t, tc.want, v.Property, v)
			}
		})
	}
}

// twice overwrites a key twice.
func twice() *deal {
	truth := BuildTruth([]Observed{observe(testCluster, 0, nil, []Op{put("/a", "1")}, []Op{put("/a", "2")}, []Op{put("/a", "3")}, []Op{put(endKey, "")})})
	return &deal{truth, recordsOf(1, truth.Histories[0].Changes), []Run{{}}, Rules{EndKey: endKey, First: 2}}
}

// manyRepeats brings more after a crash than a batch can hold.
func manyRepeats() *deal {
	var writes [][]Op
	for i := range batchRecords + 1 {
		writes = append(writes, []Op{put("/a", fmt.Sprint(i))})
	}
	truth := BuildTruth([]Observed{observe(testCluster, 0, nil, append(writes, []Op{put(endKey, "")})...)})
	changes := truth.Histories[0].Changes
	return &deal{truth, append(recordsOf(1, changes[:batchRecords+1]), recordsOf(2, changes)...), []Run{{Killed: true}, {}}, Rules{EndKey: endKey, First: 2}}
}

// refused is clean: the pipeline refused revision 5 for good.
func refused() *deal {
	d := oneRun()
	d.rules.MayRefuse = true
	d.drop(5, 5)
	d.arrived = slices.Insert(d.arrived, d.at(1, 6), gapRecord(1, reasonRefused, 5, 5, 6))
	return d
}

// sharedIDs has a revision and key in two histories, with one id.
func sharedIDs() *deal {
	d := rewound()
	d.arrived[len(d.arrived)-2].Attrs["log.record.uid"] = d.attrs(1, 7)["log.record.uid"]
	return d
}

func TestVerifierDoesNotJudgeWithoutASoundTruth(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(o *Observed)
		want   string
	}{
		"the reader failed":           {func(o *Observed) { o.Problems = []string{"the database was not empty"} }, "the database was not empty"},
		"a write was not read":        {func(o *Observed) { o.Seen = o.Seen[:len(o.Seen)-1] }, "answered with revision 9, but the reader did not see it"},
		"a value was read otherwise":  {func(o *Observed) { o.Seen[0].New = &KeyState{Value: []byte("2"), Create: 2, Mod: 2, Version: 1} }, "revision 2: written"},
		"somebody else wrote":         {func(o *Observed) { o.Writes = o.Writes[1:] }, "revision 2: nobody of ours wrote"},
		"a delete removed more":       {func(o *Observed) { o.Writes[4].Deleted = 4 }, "deleted 4 keys, the model says 3"},
		"two writes have a revision":  {func(o *Observed) { o.Writes = append(o.Writes, o.Writes[0]) }, "two writes were answered with revision 2"},
		"a revision was read again":   {func(o *Observed) { o.Seen = append(o.Seen[:1:1], o.Seen...) }, "revision 2: written"},
		"the reader went back":        {func(o *Observed) { o.Seen[1].Revision = 1 }, "the reader saw revision 1 after 2"},
		"the end marker is not in it": {func(o *Observed) { o.Seen, o.Writes = o.Seen[:11], o.Writes[:7] }, "the end marker"},
	} {
		t.Run(name, func(t *testing.T) {
			o := ordinary()
			tc.change(&o)
			d := oneRun()
			d.truth = BuildTruth([]Observed{o})
			verdict := d.verify()
			require.NotEmpty(t, verdict.NotJudged)
			assert.Contains(t, fmt.Sprint(verdict.NotJudged), tc.want)
			assert.Empty(t, verdict.Violations)
		})
	}
}

func TestTruthTakesInWhatMayHaveHappened(t *testing.T) {
	o := ordinary()
	o.Writes[1].Revision = 0 // no answer, but it was read
	o.Writes = append(o.Writes, Write{Ops: []Op{put("/never", "")}})
	truth := BuildTruth([]Observed{o})
	assert.Empty(t, truth.Unsound)
	assert.Equal(t, BuildTruth([]Observed{ordinary()}), truth)
}

func TestTruthExplainsTheEndOfALease(t *testing.T) {
	o := observe(testCluster, 0, nil,
		[]Op{{Key: "/l/2", Lease: 7}, {Key: "/l/1", Lease: 7}, {Key: "/other", Lease: 8}}, []Op{del("/l/1"), del("/l/2")}, []Op{put(endKey, "")})
	o.Writes = slices.Delete(o.Writes, 1, 2) // etcd did it
	assert.Empty(t, BuildTruth([]Observed{o}).Unsound)

	o.Leases = nil
	assert.NotEmpty(t, BuildTruth([]Observed{o}).Unsound, "a lease that nobody granted does not expire")
}
