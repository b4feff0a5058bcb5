// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"math"
	"time"
)

// startTimes knows since when each member's counters count, so that a restart of
// a member begins a new series. A member that exposes the start of its process
// is believed; for one that does not (etcd on some systems), a counter that went
// back tells.
type startTimes map[uint64]*startTime

type startTime struct {
	begin   time.Time
	counted float64 // of a counter that only grows while the process lives
	seen    time.Time
}

// of gives the start time of a member's counters.
func (s startTimes) of(m *member) time.Time {
	known := s[m.id]
	if known == nil {
		known = &startTime{begin: m.at}
		s[m.id] = known
	}
	if m.metrics == nil {
		return known.begin
	}
	counted, _ := m.metrics.value(familyReceivedBytes)
	if seconds, ok := m.metrics.value(familyStartTime); ok && seconds > 0 && seconds < math.MaxInt64/1e9 {
		known.begin = time.Unix(0, int64(seconds*1e9))
	} else if counted < known.counted {
		known.begin = known.seen
	}
	known.counted, known.seen = counted, m.at
	return known.begin
}
