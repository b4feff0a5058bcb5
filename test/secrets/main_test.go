// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package secrets plants secrets wherever etcd has any, lets the real distribution see
// and report all that happens, at its most talkative and while things go wrong, and
// searches every byte that it wrote for them.
package secrets

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 60 * time.Second

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for began := time.Now(); !done(); time.Sleep(50 * time.Millisecond) {
		require.Less(t, time.Since(began), patience, "waited in vain for: %s", what)
	}
}
