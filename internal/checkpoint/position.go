// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// Position is where the stream of one prefix stands.
type Position struct {
	ClusterID Hex `json:"cluster_id"`
	// Revision is the last one that is behind the stream, whole.
	Revision    int64        `json:"revision"`
	Fingerprint *Fingerprint `json:"fingerprint,omitempty"` // nil if no revision with changes was delivered yet
	Snapshot    *Snapshot    `json:"snapshot,omitempty"`    // nil if none is under way
	Owed        *Gap         `json:"owed,omitempty"`        // whose record the pipeline has not accepted; nil if none
}

// Fingerprint identifies the changes of the last revision that was delivered. A
// cluster that shows other changes there has another history.
type Fingerprint struct {
	Revision int64  `json:"revision"`
	Hash     Hex    `json:"hash"`    // of all changes of the prefix at Revision
	Key      []byte `json:"key"`     // the last key that was told, at Revision or before; empty if none was
	Deleted  bool   `json:"deleted"` // whether Key was deleted there
	Value    Hex    `json:"value"`   // hash of the value of Key there; 0 if it was deleted
}

// Snapshot is how far a read of the existing keys has come.
type Snapshot struct {
	Revision int64  `json:"revision"` // all keys are read as of this revision
	Next     []byte `json:"next"`     // first key not delivered yet
	Above    int64  `json:"above"`    // only keys changed after this revision are told; 0 for all
	Resync   bool   `json:"resync"`   // whether it follows a gap; else it is the initial snapshot
	Told     int64  `json:"told"`     // keys that were delivered
}

// Gap is a range of revisions that was not delivered; the fields are those of
// logrecord.Gap.
type Gap struct {
	From   int64  `json:"from"`
	To     int64  `json:"to"`
	Next   int64  `json:"next"`
	Count  int64  `json:"count"`
	Reason string `json:"reason"`
}

// Hex is a number that is stored as etcdctl prints ids.
type Hex uint64

// MarshalText writes 16 digits.
func (h Hex) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%016x", uint64(h)), nil }

// UnmarshalText reads what MarshalText wrote.
func (h *Hex) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 16, 64)
	if err != nil {
		return errors.New("not a number in hexadecimal")
	}
	*h = Hex(n)
	return nil
}

// clone shares nothing with p.
func (p Position) clone() Position {
	p.Fingerprint, p.Snapshot, p.Owed = copied(p.Fingerprint), copied(p.Snapshot), copied(p.Owed)
	if f := p.Fingerprint; f != nil {
		f.Key = bytes.Clone(f.Key)
	}
	if s := p.Snapshot; s != nil {
		s.Next = bytes.Clone(s.Next)
	}
	return p
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// check finds what no stream can have saved. Its errors tell no key.
func (p Position) check() error {
	if p.Revision < 1 {
		return fmt.Errorf("revision %d", p.Revision)
	}
	if f := p.Fingerprint; f != nil {
		switch {
		case f.Revision < 1 || f.Revision > p.Revision:
			return fmt.Errorf("fingerprint of revision %d at revision %d", f.Revision, p.Revision)
		case f.Deleted && f.Value != 0:
			return errors.New("fingerprint with the value of a deleted key")
		}
	}
	if g := p.Owed; g != nil && (g.Reason == "" || g.From < 0 || g.To < 0 || g.Next < 0 || g.Count < 0) {
		return fmt.Errorf("gap %+v", *g)
	}
	if s := p.Snapshot; s != nil {
		switch {
		case s.Revision < 1:
			return fmt.Errorf("snapshot of revision %d", s.Revision)
		case s.Told < 0:
			return fmt.Errorf("snapshot of %d keys", s.Told)
		case s.Above < 0 || s.Above > s.Revision:
			return fmt.Errorf("snapshot of revision %d above revision %d", s.Revision, s.Above)
		}
	}
	return nil
}
