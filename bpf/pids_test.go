// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOnTheHostIdsAreTheHosts(t *testing.T) {
	var same *pids
	tgid, err := same.keep(4711)
	require.NoError(t, err)
	assert.EqualValues(t, 4711, tgid)
	assert.EqualValues(t, 4711, same.host(4711))
	assert.EqualValues(t, 4711, same.here(4711))
	same.let(4711)
	require.NoError(t, same.look())
	require.NoError(t, same.Close())
}
