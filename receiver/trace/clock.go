// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// Go's time.Time keeps two clocks: wall has seconds since 1885 and nanoseconds, ext
// has nanoseconds of CLOCK_MONOTONIC since the process started. The kernel's time of
// a record is of CLOCK_MONOTONIC too, so all that is needed for a duration is where
// the process's clock begins: startNano. One request tells it, because its start is
// in both clocks; steps of the wall clock after that do no harm.
//
// Source: Go src/time/time.go.
const (
	hasMonotonic   = 1 << 63
	secondsTo1885  = (1884*365 + 1884/4 - 1884/100 + 1884/400) * 86400
	secondsTo1970  = (1969*365 + 1969/4 - 1969/100 + 1969/400) * 86400
	nanosecondMask = 1<<30 - 1
)

// unixNano is the wall clock of a time.Time with a monotonic reading.
func unixNano(wall uint64) int64 {
	return (int64(wall<<1>>31)+secondsTo1885-secondsTo1970)*1e9 + int64(wall&nanosecondMask)
}

// startNano is where Go's monotonic clock begins, in ns of CLOCK_MONOTONIC, from
// the start of a request and from how far the wall clock was ahead of
// CLOCK_MONOTONIC then. ok is false if the start has no monotonic reading.
func startNano(wall, ext uint64, ahead int64) (nano int64, ok bool) {
	return unixNano(wall) - ahead - int64(ext), wall&hasMonotonic != 0
}

// wallAhead is how far the wall clock is ahead of CLOCK_MONOTONIC, in ns: the
// closest of some readings, since a thread may lose its CPU between two clocks.
func wallAhead() int64 {
	var ahead, closest int64 = 0, math.MaxInt64
	for range 20 {
		before, wall, after := monotonic(), time.Now().UnixNano(), monotonic()
		if after-before < closest {
			ahead, closest = wall-(before+after)/2, after-before
		}
	}
	return ahead
}

// monotonic is CLOCK_MONOTONIC in ns; the call cannot fail with it.
func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}
