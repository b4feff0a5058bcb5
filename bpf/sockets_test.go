// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhatTheProgramsHaveNoRoomForIsToldThemAgain(t *testing.T) {
	full := errors.New("full")
	room, has, known := 2, map[int]string{}, map[int]string{}
	tell := func(wanted map[int]string) error {
		return renew(known, wanted, func(k int, v string) error {
			if _, ok := has[k]; !ok && len(has) == room {
				return full
			}
			has[k] = v
			return nil
		}, func(k int) error {
			if _, ok := has[k]; !ok {
				return ebpf.ErrKeyNotExist
			}
			delete(has, k)
			return nil
		})
	}
	require.ErrorIs(t, tell(map[int]string{1: "a", 2: "b", 3: "c"}), full)
	assert.Len(t, has, 2)
	room = 3
	require.NoError(t, tell(map[int]string{1: "a", 2: "b", 3: "c"}))
	assert.Equal(t, map[int]string{1: "a", 2: "b", 3: "c"}, has)

	require.NoError(t, tell(map[int]string{1: "a", 2: "x", 4: "d"}), "one that goes makes room")
	assert.Equal(t, map[int]string{1: "a", 2: "x", 4: "d"}, has)
	delete(has, 4)
	require.NoError(t, tell(map[int]string{1: "a", 2: "x"}), "one that is not there need not go")
	assert.Equal(t, has, known)
}
