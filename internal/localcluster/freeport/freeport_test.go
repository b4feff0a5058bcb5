// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package freeport

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFreePortsAreDifferentAndBelowTheEphemeralRangeOfLinux(t *testing.T) {
	seen := map[int]bool{}
	for range blockSize / 2 { // of programs that may be down meanwhile
		port, err := Next()
		require.NoError(t, err)
		assert.False(t, seen[port], "port %d twice", port)
		seen[port] = true
		assert.True(t, first < port && port < 32768, "port %d", port)
	}
}

func TestAPortThatIsTakenIsNotGiven(t *testing.T) {
	port, err := Next()
	require.NoError(t, err)
	next := block.begin + 1 + block.tried%(blockSize-1)
	require.NotEqual(t, port, next)
	taken, err := listen(next)
	require.NoError(t, err)
	defer func() { require.NoError(t, taken.Close()) }()
	given, err := Address()
	require.NoError(t, err)
	assert.NotEqual(t, taken.Addr().String(), given)
	l, err := net.Listen("tcp", given)
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

func TestAnotherProcessHasAnotherBlock(t *testing.T) {
	_, err := Next()
	require.NoError(t, err)
	mine, begin := block.claim, block.begin
	defer func() { block.claim, block.begin = mine, begin }()
	for range 5 { // as the variables of another process are: without a claim
		require.NoError(t, claimBlock())
		other := block.claim
		defer func() { require.NoError(t, other.Close()) }()
		assert.NotEqual(t, begin, block.begin)
	}
}

func TestAPortThatIsNotGivenSaysWhy(t *testing.T) {
	_, err := Next()
	require.NoError(t, err)
	mine, begin := block.claim, block.begin
	block.claim = nil
	defer func() { block.claim, block.begin = mine, begin }()
	for i := range blocks {
		if l, err := listen(first + i*blockSize); err == nil {
			defer func() { require.NoError(t, l.Close()) }()
		}
	}
	_, err = Next()
	require.ErrorContains(t, err, "each of the 17 blocks from 15000 on has an owner")
	require.ErrorContains(t, err, "address already in use")
}
