// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestRelocationsAreSortedByAddress(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, largest := range []uint64{0, 1, 0xff, 0x100, 0x2000000, math.MaxUint64} {
		for _, n := range []int{0, 1, 2, 1000} {
			all := []relocation{{largest, 0}}
			for i := range n {
				addr := random.Uint64()
				if largest < math.MaxUint64 {
					addr %= largest + 1
				}
				all = append(all, relocation{addr, uint64(i)})
			}
			want := slices.Clone(all)
			slices.SortStableFunc(want, func(a, b relocation) int { return cmp.Compare(a.addr, b.addr) })
			assert.Equal(t, want, sortByAddr(all))
		}
	}
	assert.Empty(t, sortByAddr(nil))
}
