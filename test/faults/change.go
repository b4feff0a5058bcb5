// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// KeyState is what etcd holds about one existing key. It is never changed once it is made.
type KeyState struct {
	Value   []byte
	Create  int64 // revision
	Mod     int64 // revision
	Version int64
	Lease   int64 // 0 for none
}

func (s *KeyState) equal(o *KeyState) bool {
	if s == nil || o == nil {
		return s == o
	}
	return s.Create == o.Create && s.Mod == o.Mod && s.Version == o.Version && s.Lease == o.Lease && bytes.Equal(s.Value, o.Value)
}

// Change is one event of the truth.
type Change struct {
	Revision int64
	Sub      int // position inside the revision, from 0
	Key      string
	New      *KeyState // nil for a delete
	Prev     *KeyState // the key at Revision - 1; nil if it did not exist
}

func (c *Change) delete() bool { return c.New == nil }

func (c *Change) name() string {
	if c.delete() {
		return eventDelete
	}
	return eventPut
}

func (c *Change) equal(o *Change) bool {
	return c.Revision == o.Revision && c.Sub == o.Sub && c.Key == o.Key && c.New.equal(o.New) && c.Prev.equal(o.Prev)
}

func (c *Change) String() string {
	return fmt.Sprintf("%s %q rev %d/%d", strings.TrimPrefix(c.name(), "etcd.kv."), c.Key, c.Revision, c.Sub)
}

// Op is one operation of a write: a put, or a delete of a key or of the range from Key to End.
type Op struct {
	Delete bool
	Key    string
	End    string // of a range delete; empty for one key
	Value  []byte
	Lease  int64
}

// Space is a model of etcd's key space.
type Space map[string]*KeyState

func (s Space) clone() Space { return maps.Clone(s) }

// plan tells which changes a write at this revision makes; it does not make them. No two operations of a write may
// touch the same key, which etcd demands of puts anyway.
func (s Space) plan(revision int64, ops []Op) []Change {
	var out []Change
	add := func(key string, state *KeyState) {
		out = append(out, Change{Revision: revision, Sub: len(out), Key: key, New: state, Prev: s[key]})
	}
	for _, op := range ops {
		if op.Delete {
			for _, key := range s.within(op.Key, op.End) {
				add(key, nil)
			}
			continue
		}
		state := &KeyState{Value: op.Value, Create: revision, Mod: revision, Version: 1, Lease: op.Lease}
		if was := s[op.Key]; was != nil {
			state.Create, state.Version = was.Create, was.Version+1
		}
		add(op.Key, state)
	}
	return out
}

// expiry tells which changes the end of a lease makes.
func (s Space) expiry(revision, lease int64) []Change {
	var ops []Op
	for key, state := range s {
		if state.Lease == lease {
			ops = append(ops, Op{Delete: true, Key: key})
		}
	}
	slices.SortFunc(ops, func(a, b Op) int { return strings.Compare(a.Key, b.Key) })
	return s.plan(revision, ops)
}

// within gives the existing keys of a range in order.
func (s Space) within(key, end string) []string {
	if end == "" {
		if s[key] == nil {
			return nil
		}
		return []string{key}
	}
	var keys []string
	for k := range s {
		if k >= key && k < end {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// apply makes the changes.
func (s Space) apply(changes []Change) {
	for _, c := range changes {
		if c.delete() {
			delete(s, c.Key)
		} else {
			s[c.Key] = c.New
		}
	}
}
