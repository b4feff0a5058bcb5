// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFreePortsAreDifferentAndOutsideTheEphemeralRange(t *testing.T) {
	seen := map[int]bool{}
	for range 50 { // of members that may be down meanwhile
		ports, err := freePorts(20)
		require.NoError(t, err)
		for _, port := range ports {
			assert.False(t, seen[port], "port %d twice", port)
			seen[port] = true
			assert.True(t, firstPort <= port && port < lastPort, "port %d", port)
		}
	}
	assert.Len(t, seen, 1000)
}
