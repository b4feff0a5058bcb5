// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// twoStreams is clean: two prefixes, the second far behind the first. The first run is killed with the checkpoints at 3
// and 2, so revision 4 comes again in the first stream; in the second, revision 6 is compacted before it is read.
func twoStreams() *deal {
	o := observe(testCluster, 0, nil,
		[]Op{put("/a/1", "x"), put("/b/1", "y")},
		[]Op{put("/a/1", "xx")},
		[]Op{put("/a/2", ""), put("/b/2", ""), put("/elsewhere", ""), put("/a/3", ""), put("/b/3", "")},
		[]Op{put("/elsewhere", "")},
		[]Op{put("/b/1", "yy")},
		[]Op{put("/a/1", "xxx")},
		[]Op{del("/b/3"), del("/a/3")},
		[]Op{put("/a/end", ""), put("/b/end", "")},
	)
	o.Compacted = 7
	d := &deal{
		truth: BuildTruth([]Observed{o}),
		runs:  []Run{{Killed: true}, {Checkpoints: map[string]int64{"/a/": 3, "/b/": 4}}},
		rules: Rules{Prefixes: []string{"/a/", "/b/"}, EndKey: "end", First: 2},
	}
	h := &d.truth.Histories[0]
	gap := of("/b/", gapRecord(2, reasonCompacted, 5, 6, 7))
	resync := slices.DeleteFunc(snapshotRecords(2, "resync", h, 7), func(r Record) bool {
		return r.Name == eventPut && r.text("etcd.key") != "/b/1"
	})
	resync[1].Attrs["etcd.snapshot.count"], resync[1].Attrs[ofPrefix] = int64(1), "/b/"
	a := func(run int, from, to int64) []Record { return recordsBelow("/a/", run, between(h.Changes, from, to)) }
	b := func(run int, from, to int64) []Record { return recordsBelow("/b/", run, between(h.Changes, from, to)) }
	d.arrived = slices.Concat(
		a(1, 2, 4), b(1, 2, 4),
		a(2, 4, 7), []Record{gap}, a(2, 8, 8), resync, a(2, 9, 9), b(2, 7, 9),
	)
	return d
}

// of makes a gap one of a prefix.
func of(prefix string, gap Record) Record {
	gap.Attrs[ofPrefix] = prefix
	gap.Body = strings.Replace(gap.Body, " missing", " of "+prefix+" missing", 1)
	return gap
}

// recordsBelow gives each revision a request of its own, which no other prefix has.
func recordsBelow(prefix string, run int, changes []Change) []Record {
	changes = slices.DeleteFunc(changes, func(c Change) bool { return !strings.HasPrefix(c.Key, prefix) })
	out := recordsOf(run, changes)
	for i := range out {
		out[i].Request += int(prefix[1]) * 1000
	}
	return out
}

// in gives the index of the first record of a revision and a prefix in a run.
func (d *deal) in(prefix string, run int, revision int64) int {
	return slices.IndexFunc(d.arrived, func(r Record) bool {
		return r.Run == run && r.Attrs["etcd.kv.mod_revision"] == revision && strings.HasPrefix(r.text("etcd.key"), prefix) && r.text("etcd.kv.origin") == ""
	})
}

// cut removes n records from an index on.
func (d *deal) cut(i, n int) []Record {
	out := slices.Clone(d.arrived[i : i+n])
	d.arrived = slices.Delete(d.arrived, i, i+n)
	return out
}

func (d *deal) named(name string) *Record {
	return &d.arrived[slices.IndexFunc(d.arrived, func(r Record) bool { return r.Name == name })]
}

func TestVerifierLetsStreamsInterleave(t *testing.T) {
	want := Verdict{Changes: 13, Missing: 1, Repeats: 2, Gaps: 1, Snapshots: 1}
	assert.Equal(t, want, twoStreams().verify())

	d := twoStreams() // all of one stream before all of the other, within each run
	slices.SortStableFunc(d.arrived, func(x, y Record) int {
		isA := func(r Record) int {
			if strings.HasPrefix(r.text("etcd.key"), "/a/") {
				return 1
			}
			return 0
		}
		if x.Run != y.Run {
			return x.Run - y.Run
		}
		return isA(x) - isA(y)
	})
	assert.Equal(t, want, d.verify())
}

// Each promise is held against each stream: what is right in one excuses nothing in the other.
func TestVerifierNamesTheBrokenPromiseOfOneStream(t *testing.T) {
	for name, tc := range map[string]struct {
		breakIt func(d *deal)
		want    Property
	}{
		"a key below no prefix arrives": {func(d *deal) {
			d.arrived = append(d.arrived, recordOf(between(d.truth.Histories[0].Changes, 5, 5)[0], 2, 999999))
		}, Filter},
		"an excluded key arrives": {func(d *deal) { d.rules.Exclude = []string{"/a/2"} }, Filter},
		"two revisions change places": {func(d *deal) {
			late := d.cut(d.in("/a/", 1, 2), 1)
			d.arrived = slices.Insert(d.arrived, d.in("/a/", 1, 3)+1, late...)
		}, Ordered},
		"a revision comes after a later one, with the other stream between": {func(d *deal) {
			late := d.cut(d.in("/a/", 2, 7), 1)
			d.arrived = slices.Insert(d.arrived, d.in("/a/", 2, 8)+1, late...)
		}, Ordered},
		"two changes of a revision change places": {func(d *deal) {
			i := d.in("/b/", 1, 4)
			d.arrived[i], d.arrived[i+1] = d.arrived[i+1], d.arrived[i]
		}, Ordered},
		"a change arrives twice":                                   {func(d *deal) { i := d.in("/b/", 2, 8); d.arrived = slices.Insert(d.arrived, i, d.arrived[i]) }, Unique},
		"repeats after an orderly end":                             {func(d *deal) { d.runs[0].Killed = false }, Unique},
		"a part of a transaction is missing in one stream":         {func(d *deal) { d.cut(d.in("/b/", 1, 4), 1) }, Atomic},
		"a transaction is cut over requests in one stream":         {func(d *deal) { d.arrived[d.in("/b/", 1, 4)].Request++ }, Atomic},
		"a checkpoint is ahead of one stream":                      {func(d *deal) { d.cut(d.in("/b/", 1, 4), 2) }, Bookmarkable},
		"a record is below the checkpoint":                         {func(d *deal) { d.runs[1].Checkpoints["/a/"] = 4 }, Bookmarkable},
		"one checkpoint falls":                                     {func(d *deal) { d.runs = append(d.runs, Run{Checkpoints: map[string]int64{"/a/": 9, "/b/": 3}}) }, Bookmarkable},
		"one stream begins too late":                               {func(d *deal) { d.cut(d.in("/b/", 1, 2), 1); d.runs[1].Checkpoints["/b/"] = 0 }, Resumable},
		"one stream resumes too late":                              {func(d *deal) { d.cut(d.in("/a/", 1, 4), 2); d.cut(d.in("/a/", 2, 4), 2) }, Resumable},
		"a revision is missing in one stream":                      {func(d *deal) { d.cut(d.in("/a/", 1, 3), 1); d.runs[1].Checkpoints["/a/"] = 0 }, Reliable},
		"a transaction is missing in one stream, not in the other": {func(d *deal) { d.cut(d.in("/a/", 2, 8), 1) }, Reliable},
		"one end is missing":                                       {func(d *deal) { d.cut(d.in("/b/", 2, 9), 1) }, Reliable},
		"a value differs":                                          {func(d *deal) { d.arrived[d.in("/b/", 1, 2)].Attrs["etcd.kv.value_size"] = int64(7) }, Reliable},
		"a previous state is missing":                              {func(d *deal) { delete(d.arrived[d.in("/a/", 2, 8)].Attrs, "etcd.kv.prev_mod_revision") }, PrevKV},
		"a new key is said to be old":                              {func(d *deal) { d.arrived[d.in("/b/", 1, 2)].Attrs["etcd.kv.create_revision"] = int64(1) }, IsCreate},
		"a gap covers what came in its stream": {func(d *deal) {
			*d.named(eventGap) = of("/b/", gapRecord(2, reasonCompacted, 4, 6, 7))
			d.runs[0].Killed = false
			d.cut(d.in("/a/", 2, 4), 2) // nor does that stream repeat any
			d.arrived = slices.DeleteFunc(d.arrived, func(r Record) bool { return r.text("etcd.kv.origin") != "" })
		}, GapHonesty},
		"a gap says no prefix in its body": {func(d *deal) { d.named(eventGap).Body = gapRecord(2, reasonCompacted, 5, 6, 7).Body }, Body},
		"a snapshot lacks a key": {func(d *deal) {
			i := slices.IndexFunc(d.arrived, func(r Record) bool { return r.Name == eventSnapshot })
			d.cut(i-1, 1)
			d.named(eventSnapshot).Attrs["etcd.snapshot.count"] = int64(0)
		}, Snapshot},
		"changes of two streams share an id": {func(d *deal) {
			d.arrived[d.in("/b/", 2, 9)].Attrs["log.record.uid"] = d.arrived[d.in("/a/", 2, 9)].Attrs["log.record.uid"]
		}, RecordID},
		"a body says another key": {func(d *deal) { d.arrived[d.in("/b/", 2, 9)].Body = "put /a/end rev 9" }, Body},
	} {
		t.Run(name, func(t *testing.T) {
			d := twoStreams()
			tc.breakIt(d)
			verdict := d.verify()
			require.Empty(t, verdict.NotJudged)
			require.NotEmpty(t, verdict.Violations)
			for _, v := range verdict.Violations {
				assert.Equal(t, tc.want, v.Property, v)
			}
		})
	}
}

func TestVerifierDoesNotExcuseOneStreamByAnothersGap(t *testing.T) {
	d := twoStreams()
	d.arrived = slices.DeleteFunc(d.arrived, func(r Record) bool { return r.text("etcd.kv.origin") != "" })
	require.Empty(t, d.verify().Violations, "the gap alone will do")
	*d.named(eventGap) = of("/a/", gapRecord(2, reasonCompacted, 5, 6, 7)) // which has nothing there
	verdict := d.verify()
	require.Len(t, verdict.Violations, 1)
	assert.Equal(t, Resumable, verdict.Violations[0].Property)
	assert.Contains(t, verdict.Violations[0].What, `put "/b/1" rev 6/0`)
}

func TestVerifierBlamesAGapAndASnapshotOfNoStream(t *testing.T) {
	for name, property := range map[string]Property{eventGap: GapHonesty, eventSnapshot: Snapshot} {
		d := twoStreams()
		delete(d.named(name).Attrs, ofPrefix)
		verdict := d.verify()
		require.NotEmpty(t, verdict.Violations, name)
		assert.Equal(t, property, verdict.Violations[0].Property)
		assert.Contains(t, verdict.Violations[0].What, `it is of the prefix ""`)
	}
}

func TestVerifierDoesNotJudgeAStreamWithoutItsEndMarker(t *testing.T) {
	d := twoStreams()
	d.rules.Prefixes = []string{"/a/", "/c/"}
	verdict := d.verify()
	assert.Contains(t, fmt.Sprint(verdict.NotJudged), `the end marker "/c/end"`)
	assert.Empty(t, verdict.Violations)
}
