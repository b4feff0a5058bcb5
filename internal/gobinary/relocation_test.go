// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRelocationsAreFoundByTheirPage(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, pages := range []uint64{1, 2, 100, maxRelocatedPages} {
		const lowest = 0xabcdef
		var all []relocation
		for i := range uint64(pageBytes / 8) { // no more are in one page
			all = append(all, relocation{lowest*pageBytes + random.Uint64N(pages*pageBytes), i})
		}
		r, err := byPage(all)
		require.NoError(t, err)
		found := 0
		for page := r.first - 1; page <= r.first+uint64(len(r.ends)); page++ {
			in := r.in(page)
			if len(in) == 0 && page-r.first >= 100 { // of a million
				continue
			}
			want := slices.DeleteFunc(slices.Clone(all), func(one relocation) bool { return one.addr/pageBytes != page })
			assert.ElementsMatch(t, want, in)
			assert.True(t, slices.IsSortedFunc(in, func(a, b relocation) int { return int(a.addend) - int(b.addend) }), "a loader takes them in this order")
			found += len(in)
		}
		assert.Equal(t, len(all), found)
	}
	none, err := byPage(nil)
	require.NoError(t, err)
	assert.Empty(t, none.in(0))
}

// Small pieces are kept, and the end of the table is one.
func TestWhatTheTableOfRelocationsLiesInIsRelocatedToo(t *testing.T) {
	const table, end, place, value = 0x2000, 0x2400, 0x2200, 0x1234
	file := make([]byte, end)
	for i, word := range []uint64{uint64(elf.DT_RELA), table, uint64(elf.DT_RELASZ), 24, uint64(elf.DT_NULL)} {
		binary.LittleEndian.PutUint64(file[8*i:], word)
	}
	for i, word := range []uint64{place, uint64(elf.R_X86_64_RELATIVE), value} {
		binary.LittleEndian.PutUint64(file[table+8*i:], word)
	}
	m := &image{r: bytes.NewReader(file), arch: amd64, segments: []segment{{size: end}}}
	require.NoError(t, m.readRelocations(segment{size: 5 * 8 * 2}))
	word, err := m.word(place)
	require.NoError(t, err)
	assert.EqualValues(t, value, word)
}

func TestRelocationsThatNoLinkerMakesAreRefused(t *testing.T) {
	_, err := byPage([]relocation{{0, 0}, {maxRelocatedPages * pageBytes, 0}})
	assert.ErrorIs(t, err, ErrCorrupt)
	_, err = byPage(slices.Repeat([]relocation{{0x1000, 0}}, pageBytes/8+1))
	assert.ErrorIs(t, err, ErrCorrupt)
}
