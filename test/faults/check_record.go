// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"strings"
)

// The checks of this file look at single records.

// checkFields compares all but the previous state and the meaning of the create revision, which have checks of their
// own.
func (j *judge) checkFields() {
	for _, it := range j.items {
		if it.Name == eventSnapshot || it.origin != "" || !j.rules.wants(it.key, it.Name) {
			continue
		}
		if !it.change() {
			j.blame(Reliable, it.Run, it.revision, "%s of %q never happened", it.Name, it.key)
			continue
		}
		c := &j.histories[it.history].due[it.index]
		if want := j.histories[it.history].Cluster; it.Cluster != want {
			j.blame(Reliable, it.Run, it.revision, "%q is of cluster %s, it should be %s", it.key, it.Cluster, want)
		}
		if j.rules.whole() {
			j.want(Reliable, it.Record, "etcd.kv.sub_index", int64(c.Sub))
		}
		if !c.delete() {
			j.checkState(Reliable, it.Record, c.New)
		}
	}
}

// checkState compares what a record says about a key that exists.
func (j *judge) checkState(p Property, r *Record, s *KeyState) {
	j.want(p, r, "etcd.kv.version", s.Version)
	if p == Snapshot || s.Create != s.Mod && r.Attrs["etcd.kv.create_revision"] != s.Mod { // else it is about IsCreate
		j.want(p, r, "etcd.kv.create_revision", s.Create)
	}
	var lease any
	if s.Lease != 0 {
		lease = fmt.Sprintf("%016x", s.Lease)
	}
	j.want(p, r, "etcd.lease.id", lease)
	j.wantValue(p, r, "etcd.kv.value", s.Value)
}

// want compares one attribute; nil means that there must be none.
func (j *judge) want(p Property, r *Record, name string, value any) {
	if got := r.Attrs[name]; got != value {
		revision, _ := r.integer("etcd.kv.mod_revision")
		j.blame(p, r.Run, revision, "%s of %q: %s is %.100v, it should be %.100v", r.Name, r.text("etcd.key"), name, got, value)
	}
}

func (j *judge) wantValue(p Property, r *Record, prefix string, value []byte) {
	attrs := valueAttrs(prefix, j.rules.Policy, j.rules.MaxBytes, value)
	for _, suffix := range valueSuffixes {
		j.want(p, r, prefix+suffix, attrs[prefix+suffix])
	}
}

// checkPrevious allows the previous state to be absent if etcd had compacted it.
func (j *judge) checkPrevious() {
	for _, it := range j.items {
		if !it.change() {
			continue
		}
		c := &j.histories[it.history].due[it.index]
		prev := c.Prev
		if _, has := it.Attrs["etcd.kv.prev_mod_revision"]; !has && c.Revision-1 < j.histories[it.history].Compacted {
			prev = nil
		}
		if prev == nil {
			j.want(PrevKV, it.Record, "etcd.kv.prev_mod_revision", nil)
			continue
		}
		j.want(PrevKV, it.Record, "etcd.kv.prev_mod_revision", prev.Mod)
		j.wantValue(PrevKV, it.Record, "etcd.kv.prev_value", prev.Value)
		if c.delete() {
			j.want(PrevKV, it.Record, "etcd.kv.create_revision", prev.Create)
		}
	}
}

func (j *judge) checkCreate() {
	for _, it := range j.items {
		if !it.change() || it.Name != eventPut {
			continue
		}
		create, _ := it.integer("etcd.kv.create_revision")
		if isNew := j.histories[it.history].due[it.index].Prev == nil; isNew != (create == it.revision) {
			j.blame(IsCreate, it.Run, it.revision, "%q: the key was new: %t, but its create revision is %d", it.key, isNew, create)
		}
	}
}

// original is what a record id stands for: a change in the history where it was made. Revisions before a restore belong
// to the history before. A key of a snapshot may have the id of its last put, or another one.
type original struct {
	changeID
	history int
	origin  string
}

// ids are the record ids that were seen.
type ids struct {
	owner map[string]original
	of    map[original]string
}

func (j *judge) original(it *item) original {
	h := it.history
	for h > 0 && it.revision <= j.histories[h].Base {
		h--
	}
	return original{changeID{it.revision, it.key, it.Name}, h, it.origin}
}

func (j *judge) checkIDs() {
	owner, ids := j.ids.owner, j.ids.of
	for n := range j.items {
		it := &j.items[n]
		uid := it.text("log.record.uid")
		if uid == "" {
			continue
		}
		who := j.original(it)
		if other, ok := owner[uid]; ok && !j.alike(other, who) {
			j.blame(RecordID, it.Run, it.revision, "%q has the id of %q at revision %d", it.key, other.key, other.revision)
		}
		owner[uid] = who
		if other, ok := ids[who]; ok && other != uid {
			j.blame(RecordID, it.Run, it.revision, "%q has the ids %s and %s", it.key, other, uid)
		}
		ids[who] = uid
	}
}

// alike tells whether two records may have the same id. In two histories of one cluster two changes can be alike in
// all that etcd says about them.
func (j *judge) alike(a, b original) bool {
	if a.changeID != b.changeID || a.history == b.history {
		return a.changeID == b.changeID
	}
	first, second := j.histories[a.history], j.histories[b.history]
	i, ok := first.index[a.changeID]
	k, ok2 := second.index[b.changeID]
	return first.Cluster == second.Cluster && ok && ok2 && first.due[i].New.equal(second.due[k].New)
}

func (j *judge) checkBodies() {
	for _, it := range j.items {
		if it.Name == eventSnapshot {
			continue
		}
		verb := strings.TrimPrefix(it.Name, "etcd.kv.")
		if it.origin != "" && it.Name == eventPut {
			verb = "exists"
		}
		j.checkBody(it.Record, it.revision, verb+" ", it.key, fmt.Sprintf(" rev %d", it.revision))
	}
	for _, g := range j.gaps {
		want := []string{g.reason}
		if j.prefix != "" {
			want = append(want, " of "+keyText(j.prefix)+" ")
		}
		for _, revision := range []int64{g.from, g.to, g.next} {
			if revision != 0 {
				want = append(want, fmt.Sprint(revision))
			}
		}
		j.checkBody(g.Record, g.from, want...)
	}
}

func (j *judge) checkBody(r *Record, revision int64, want ...string) {
	if j.rules.NoBody {
		if r.Body != "" {
			j.blame(Body, r.Run, revision, "there is a body: %.100q", r.Body)
		}
		return
	}
	for _, part := range want {
		if !strings.Contains(r.Body, part) {
			j.blame(Body, r.Run, revision, "%.200q does not say %q", r.Body, part)
			return
		}
	}
}
