// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"errors"
	"fmt"
	"slices"
)

// Origin says how Load came to its answer.
type Origin int

const (
	None      Origin = iota // nothing was stored: the first start
	NewPrefix               // there is a checkpoint, and this prefix was not in it
	Stored                  // as it was saved
	Previous                // the newest entry was damaged, this is from the one before
	Lost                    // the position is not known: what may have held it is damaged
)

var originNames = []string{"none", "new prefix", "stored", "previous", "lost"}

func (o Origin) String() string {
	if o < 0 || int(o) >= len(originNames) {
		return fmt.Sprintf("origin %d", int(o))
	}
	return originNames[o]
}

// MarshalText writes the origin as String does.
func (o Origin) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (o *Origin) UnmarshalText(text []byte) error {
	i := slices.Index(originNames, string(text))
	if i < 0 {
		return errors.New("unknown origin")
	}
	*o = Origin(i)
	return nil
}
