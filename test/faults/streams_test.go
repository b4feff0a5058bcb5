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
	gap := gapRecord(2, reasonCompacted, 5, 6, 7)
	gap.Prefix = "/b/"
	resync := slices.DeleteFunc(snapshotRecords(2, "resync", h, 7), func(r Record) bool {
		return r.Name == eventPut && r.text("etcd.key") != "/b/1"
	})
	resync[1].Attrs["etcd.snapshot.count"], resync[1].Prefix = int64(1), "/b/"
	a := func(run int, from, to int64) []Record { return recordsBelow("/a/", run, between(h.Changes, from, to)) }
	b := func(run int, from, to int64) []Record { return recordsBelow("/b/", run, between(h.Changes, from, to)) }
	d.arrived = slices.Concat(
		a(1, 2, 4), b(1, 2, 4),
		a(2, 4, 7), []Record{gap}, a(2, 8, 8), resync, a(2, 9, 9), b(2, 7, 9),
	)
	return d
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
			*d.named(eventGap) = gapRecord(2, reasonCompacted, 4, 6, 7)
			d.named(eventGap).Prefix = "/b/"
			d.runs[0].Killed = false
			d.cut(d.in("/a/", 2, 4), 2) // nor does that stream repeat any
			d.arrived = slices.DeleteFunc(d.arrived, func(r Record) bool { return r.text("etcd.kv.origin") != "" })
		}, GapHonesty},
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
	d.named(eventGap).Prefix = "/a/" // which has nothing there
	verdict := d.verify()
	require.Len(t, verdict.Violations, 1)
	assert.Equal(t, Resumable, verdict.Violations[0].Property)
	assert.Contains(t, verdict.Violations[0].What, `put "/b/1" rev 6/0`)
}

func TestVerifierDoesNotJudgeARecordOfNoStream(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(d *deal)
		want   string
	}{
		"gap":        {func(d *deal) { d.named(eventGap).Prefix = "" }, "of which prefix"},
		"snapshot":   {func(d *deal) { d.named(eventSnapshot).Prefix = "" }, "of which prefix"},
		"end marker": {func(d *deal) { d.rules.Prefixes = []string{"/a/", "/c/"} }, `the end marker "/c/end"`},
	} {
		t.Run(name, func(t *testing.T) {
			d := twoStreams()
			tc.change(d)
			verdict := d.verify()
			assert.Contains(t, fmt.Sprint(verdict.NotJudged), tc.want)
			assert.Empty(t, verdict.Violations)
		})
	}
}

func TestTellPrefixesByTheLog(t *testing.T) {
	gap := func(run int) Record { return gapRecord(run, reasonCompacted, 4, 6, 7) }
	end := Record{Run: 2, Name: eventSnapshot, Attrs: map[string]any{"etcd.snapshot.revision": int64(7), "etcd.snapshot.count": int64(3)}}
	line := func(message, prefix, rest string) string {
		return fmt.Sprintf("now\terror\twatch/gap.go:26\t%s\t{\"prefix\": %q, %s}\n", message, prefix, rest)
	}
	const bounds = `"from_revision": 4, "to_revision": 6, "next_revision": 7`
	records := []Record{gap(1), gap(2), end, gap(2), gap(2), recordOf(Change{Revision: 2, Key: "/a"}, 2, 2)}
	tellPrefixes(records, [][]string{nil, {
		"now\tinfo\tsomething else",
		line("changes are missing", "/other/", `"from_revision": 3, "to_revision": 6, "next_revision": 7`),
		line("changes are missing", "/first/", bounds),
		line("changes are missing", "/second/", bounds),
		line("the existing keys are told", "/first/", `"revision": 7, "keys": 3, "took": "1ms"`),
	}})
	var got []string
	for _, r := range records {
		got = append(got, r.Prefix)
	}
	assert.Equal(t, []string{"", "/first/", "/first/", "/second/", "", ""}, got)
}
