// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import "time"

// active tells how many requests are in progress, on average: the time that all of
// them took over the time that went by (Little's law). Counting them as they begin
// would cost etcd a second trap for each. The price is that a request is told when
// it has ended, with all its time: one that hangs is not seen before.
type active struct {
	since time.Time
	took  map[uint8]time.Duration // all requests until then, by operation
}

// mean gives it by operation since the last call; took is of all requests until
// now. The first call is since the time that active was made with.
func (a *active) mean(now time.Time, took map[uint8]time.Duration) map[uint8]float64 {
	means := make(map[uint8]float64, len(took))
	for operation, all := range took {
		means[operation] = max(all-a.took[operation], 0).Seconds() / now.Sub(a.since).Seconds()
	}
	a.since, a.took = now, took
	return means
}
