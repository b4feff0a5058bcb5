// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package freeport

import (
	"errors"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPortsAreDifferentOnesOfAProcessesOwnBlockBelowTheEphemeralRangeOfLinux(t *testing.T) {
	seen := map[int]bool{}
	for range blockSize / 2 { // of programs that may be down meanwhile
		port, err := Next()
		require.NoError(t, err)
		assert.False(t, seen[port], "port %d twice", port)
		seen[port] = true
		assert.True(t, block.begin < port && port < block.begin+blockSize, "port %d of the block from %d on", port, block.begin)
	}
	assert.True(t, first <= block.begin && first+blocks*blockSize <= 32768)
}

func TestAfterTheLastPortTheFirstOnesComeAgain(t *testing.T) {
	_, err := Next()
	require.NoError(t, err)
	block.tried = 7*(blockSize-1) - 1
	last, err := Next()
	require.NoError(t, err)
	again, err := Next()
	require.NoError(t, err)
	assert.Greater(t, last, again)
	assert.Greater(t, again, block.begin)
}

func TestAPortThatIsTakenIsNotGiven(t *testing.T) {
	_, err := Next()
	require.NoError(t, err)
	next := block.begin + 1 + block.tried%(blockSize-1)
	if taken, err := listen(next); err == nil { // else it is taken
		defer func() { require.NoError(t, taken.Close()) }()
	}
	given, err := Address()
	require.NoError(t, err)
	assert.NotEqual(t, address(next), given)
	l, err := net.Listen("tcp", given)
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

func TestAnotherProcessHasAnotherBlock(t *testing.T) {
	_, err := Next()
	require.NoError(t, err)
	mine, begin := block.claim, block.begin
	defer func() { block.claim, block.begin = mine, begin }()
	require.NoError(t, claimBlock()) // as it does, which has no claim
	assert.NotEqual(t, begin, block.begin)
	require.NoError(t, block.claim.Close())
}

func TestNoPortIsAnErrorThatSaysWhy(t *testing.T) {
	_, err := Next()
	require.NoError(t, err)
	mine, begin, real := block.claim, block.begin, listen
	defer func() { block.claim, block.begin, listen = mine, begin, real }()
	reason := errors.New("too many open files")
	listen = func(int) (net.Listener, error) { return nil, reason }
	_, err = Next()
	require.ErrorIs(t, err, reason)
	require.ErrorContains(t, err, "1000 in a row cannot be listened at")
	block.claim = nil
	_, err = Next()
	require.ErrorIs(t, err, reason)
	require.ErrorContains(t, err, "none of the 17 blocks from 15000 on can be claimed")
}
