// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"time"

	"github.com/etcdreceiver/etcdreceiver/internal/join"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

// UnnamedEvery is how often it is told at most which changes have no author: the
// first of them at once, and then together what came meanwhile. An etcd that is not
// traced any more would else have a record of that for each of its changes.
const UnnamedEvery = 10 * time.Second

// unnamed are changes that were delivered without their author, as far as that was
// not told yet.
type unnamed struct {
	changes [len(whyUnnamed)]counted
	told    time.Time
	losses  int // of the window, then
}

// whyUnnamed are the outcomes that leave a change without its author.
var whyUnnamed = [...]struct {
	outcome join.Outcome
	reason  metadata.AttributeEtcdGapReason
}{
	{join.Missed, metadata.AttributeEtcdGapReasonMissed},
	{join.Late, metadata.AttributeEtcdGapReasonLate},
	{join.Untraced, metadata.AttributeEtcdGapReasonUntraced},
}

func (u *unnamed) add(batch tally) {
	for i, why := range whyUnnamed {
		u.changes[i].add(batch[why.outcome])
	}
}

func (u *unnamed) empty() bool { return u.changes == [len(whyUnnamed)]counted{} }

// tellUnnamed tells which changes have no author, at the end of a stream all that is
// not told yet. Nothing is missing where nothing has ever been traced: then etcd runs
// on another host, or may not be traced, and the log has said so.
func (s *session) tellUnnamed(ctx context.Context, ends bool) error {
	u := &s.unnamed
	switch {
	case s.Window == nil:
		return nil
	case u.empty():
		u.losses = s.Window.Losses() // those before the first change without author are not why it has none
		return nil
	case !s.Window.Begun() || !ends && time.Since(u.told) < s.UnnamedEvery:
		return nil
	}
	losses, records := s.Window.Losses(), s.newRecords(len(whyUnnamed))
	for i, why := range whyUnnamed {
		changes, reason := u.changes[i], why.reason
		if changes.count == 0 {
			continue
		}
		if why.outcome == join.Missed && losses > u.losses {
			reason = metadata.AttributeEtcdGapReasonOverflow
		}
		records.Unnamed(s.prefix, logrecord.Gap{From: changes.from, To: changes.to, Count: int(changes.count), Reason: reason})
	}
	if records.Len() > 0 { // else the user has switched it off
		if accepted, err := s.announce(ctx, records); !accepted {
			return err // what was not accepted is told with the next
		}
	}
	*u = unnamed{told: time.Now(), losses: losses}
	return nil
}
