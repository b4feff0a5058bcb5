// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"errors"
	"fmt"
)

// record is what is stored of one prefix. It has bytes of its own and never
// changes, so goroutines can share it.
type record struct {
	Prefix []byte `json:"prefix"`
	// Origin is Stored, or Previous or Lost until the prefix is saved: that another prefix was saved must not hide the
	// damage from the next start.
	Origin Origin `json:"origin"`
	Position
}

func newRecord(prefix string, p Position) record {
	return record{[]byte(prefix), Stored, p.clone()}
}

func (r record) check() error {
	switch r.Origin {
	case Stored, Previous:
		return r.Position.check()
	case Lost:
		if r.Position != (Position{}) { // pointers are compared as such: none may be there
			return errors.New("a position that is said to be lost")
		}
		return nil
	}
	return fmt.Errorf("a position of origin %q", r.Origin)
}
