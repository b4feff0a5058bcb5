// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"time"

	"github.com/cenkalti/backoff/v5"
)

// newBackOff is the pause before a stream is opened again: short at first, since
// most streams end because a member restarts and another one is there; jittered,
// so that collectors of one cluster do not come back together.
func newBackOff() *backoff.ExponentialBackOff {
	b := &backoff.ExponentialBackOff{
		InitialInterval:     250 * time.Millisecond,
		RandomizationFactor: 0.5,
		Multiplier:          2,
		MaxInterval:         10 * time.Second,
	}
	b.Reset()
	return b
}
