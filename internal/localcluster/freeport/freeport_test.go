// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package freeport

import (
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFreePortsAreDifferentAndOutsideTheEphemeralRange(t *testing.T) {
	seen := map[int]bool{}
	for range 1000 { // of programs that may be down meanwhile
		port, err := Next()
		require.NoError(t, err)
		assert.False(t, seen[port], "port %d twice", port)
		seen[port] = true
		assert.True(t, first <= port && port < last, "port %d", port)
	}
}

func TestAPortThatIsTakenIsNotGiven(t *testing.T) {
	var taken []int
	for len(taken) < 20 { // those that come next
		port := first + int((begin+tried.Load()+int64(len(taken))+1)%(last-first))
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil { // else somebody else has it
			defer func() { _ = l.Close() }()
		}
		taken = append(taken, port)
	}
	address, err := Address()
	require.NoError(t, err)
	for _, port := range taken {
		assert.NotEqual(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), address)
	}
	l, err := net.Listen("tcp", address)
	require.NoError(t, err)
	require.NoError(t, l.Close())
}
