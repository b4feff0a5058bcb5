// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"errors"
	"fmt"
)

// Position is where the stream of one prefix stands.
type Position struct {
	ClusterID uint64
	// Revision is the last one that is behind the stream, whole.
	Revision    int64
	Fingerprint *Fingerprint // nil if no revision with changes was delivered yet
	Snapshot    *Snapshot    // nil if none is under way
	Owed        *Gap         // whose record the pipeline has not accepted; nil if none
}

// Gap is a range of revisions that was not delivered; the fields are those of
// logrecord.Gap.
type Gap struct {
	From, To, Next, Count int64
	Reason                string
}

// Fingerprint identifies the changes of the last revision that was delivered. A
// cluster that shows other changes there has another history.
type Fingerprint struct {
	Revision int64
	Hash     uint64 // of all changes of the prefix at Revision
	Key      []byte // the last key changed at Revision
	Deleted  bool   // whether Key was deleted there
	Value    uint64 // hash of the value of Key there; 0 if it was deleted
}

// Snapshot is how far a read of the existing keys has come.
type Snapshot struct {
	Revision int64  // all keys are read as of this revision
	Next     []byte // first key not delivered yet
	Above    int64  // only keys changed after this revision are told; 0 for all
	Resync   bool   // whether it follows a gap; else it is the initial snapshot
	Told     int64  // keys that were delivered
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
		case len(f.Key) == 0:
			return errors.New("fingerprint without a key")
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
