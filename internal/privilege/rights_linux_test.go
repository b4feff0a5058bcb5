// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package privilege

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tracingNow are the capabilities to trace that the calling thread can use now.
func tracingNow(t *testing.T) (caps uint64) {
	t.Helper()
	s, err := own()
	require.NoError(t, err)
	for _, c := range tracing {
		caps |= 1 << c.number & s.effective()
	}
	return caps
}

// Go cannot change the threads of a process with cgo: one with the race detector, say.
func TestWhatIsDroppedIsLentToWhoTracesAndNobodyElseAndWithCgoNothingIs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("an ordinary user has nothing that could be dropped")
	}
	before := tracingNow(t)
	dropped, err := Drop()
	if err != nil {
		require.ErrorIs(t, err, ErrCgo)
		require.Equal(t, before, tracingNow(t))
		With(func() { assert.Equal(t, before, tracingNow(t)) })
		return
	}
	assert.Contains(t, dropped.Capabilities, "CAP_SYS_PTRACE")
	for range 100 { // on whichever thread
		assert.Zero(t, tracingNow(t))
		With(func() {
			assert.Equal(t, before, tracingNow(t))
			others := make(chan uint64)
			go func() { others <- tracingNow(t) }()
			assert.Zero(t, <-others, "a goroutine that was begun by one that traces")
		})
	}
	dropped, err = Drop()
	require.NoError(t, err)
	assert.Empty(t, dropped.Capabilities, "they are dropped already")
}
