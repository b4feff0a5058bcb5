// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// record is what is stored of one prefix, in the form that it has in JSON. It has
// bytes of its own and never changes, so goroutines can share it.
type record struct {
	Prefix []byte `json:"prefix"`
	// Origin is Stored, or Previous or Lost until the prefix is saved: that another prefix was saved must not hide the
	// damage from the next start.
	Origin      Origin       `json:"origin"`
	ClusterID   hex          `json:"cluster_id"`
	Revision    int64        `json:"revision"`
	Fingerprint *fingerprint `json:"fingerprint,omitempty"`
	Snapshot    *snapshot    `json:"snapshot,omitempty"`
	Owed        *gap         `json:"owed,omitempty"`
}

type gap struct {
	From   int64  `json:"from"`
	To     int64  `json:"to"`
	Next   int64  `json:"next"`
	Count  int64  `json:"count"`
	Reason string `json:"reason"`
}

type fingerprint struct {
	Revision int64  `json:"revision"`
	Hash     hex    `json:"hash"`
	Key      []byte `json:"key"`
	Deleted  bool   `json:"deleted"`
	Value    hex    `json:"value"`
}

type snapshot struct {
	Revision int64  `json:"revision"`
	Next     []byte `json:"next"`
	Above    int64  `json:"above"`
	Resync   bool   `json:"resync"`
	Told     int64  `json:"told"`
}

func newRecord(prefix string, p Position) record {
	r := record{Prefix: []byte(prefix), Origin: Stored, ClusterID: hex(p.ClusterID), Revision: p.Revision}
	if f := p.Fingerprint; f != nil {
		r.Fingerprint = &fingerprint{f.Revision, hex(f.Hash), bytes.Clone(f.Key), f.Deleted, hex(f.Value)}
	}
	if s := p.Snapshot; s != nil {
		r.Snapshot = &snapshot{s.Revision, bytes.Clone(s.Next), s.Above, s.Resync, s.Told}
	}
	if g := p.Owed; g != nil {
		owed := gap(*g)
		r.Owed = &owed
	}
	return r
}

func (r record) position() Position {
	p := Position{ClusterID: uint64(r.ClusterID), Revision: r.Revision}
	if f := r.Fingerprint; f != nil {
		p.Fingerprint = &Fingerprint{f.Revision, uint64(f.Hash), bytes.Clone(f.Key), f.Deleted, uint64(f.Value)}
	}
	if s := r.Snapshot; s != nil {
		p.Snapshot = &Snapshot{s.Revision, bytes.Clone(s.Next), s.Above, s.Resync, s.Told}
	}
	if g := r.Owed; g != nil {
		owed := Gap(*g)
		p.Owed = &owed
	}
	return p
}

func (r record) check() error {
	switch r.Origin {
	case Stored, Previous:
		return r.position().check()
	case Lost:
		if r.position() != (Position{}) { // pointers are compared as such: none may be there
			return errors.New("a position that is said to be lost")
		}
		return nil
	}
	return fmt.Errorf("a position of origin %q", r.Origin)
}

// hex is a number as etcdctl prints ids.
type hex uint64

func (h hex) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%016x", uint64(h)), nil }

func (h *hex) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 16, 64)
	if err != nil {
		return errors.New("not a number in hexadecimal")
	}
	*h = hex(n)
	return nil
}
