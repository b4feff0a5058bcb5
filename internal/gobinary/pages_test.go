// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Small pieces come from pages that are kept, large ones from the file.
func TestSmallPiecesAreWhatIsInTheFileWithItsRelocations(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	file := make([]byte, 64<<10)
	for i := range file {
		file[i] = byte(random.Uint32())
	}
	m := &image{r: bytes.NewReader(file), segments: []segment{
		{addr: 0x10123, offset: 0, size: 0x2fff}, {addr: 0x13122, offset: 0x7000, size: 0x5001}, // in one page, too
	}}
	want := map[segment][]byte{}
	for _, s := range m.segments {
		want[s] = bytes.Clone(file[s.offset:][:s.size])
	}
	var all []relocation
	for addr := uint64(0x10100); addr < 0x18200; addr += 8 + random.Uint64N(90) { // not aligned: over the ends of pages and segments
		all = append(all, relocation{addr, random.Uint64()})
		for s, bytes := range want {
			for i, b := range binary.LittleEndian.AppendUint64(nil, all[len(all)-1].addend) {
				if at := addr + uint64(i); s.contains(at, 1) {
					bytes[at-s.addr] = b
				}
			}
		}
	}
	var err error
	m.relocations, err = byPage(all)
	require.NoError(t, err)
	for range 20_000 {
		s := m.segments[random.IntN(len(m.segments))]
		n := random.Uint64N(min(s.size, 2*pageBytes))
		addr := s.addr + random.Uint64N(s.size-n)
		p := make([]byte, n)
		require.NoError(t, m.read(p, addr))
		require.Equal(t, want[s][addr-s.addr:][:n], p, "%d bytes at %#x", n, addr)
	}
	assert.Len(t, m.pages.kept, 10)
}

func TestPagesThatAreKeptAreFew(t *testing.T) {
	m := &image{r: bytes.NewReader(make([]byte, 3*pagesKept*pageBytes)), segments: []segment{{size: 3 * pagesKept * pageBytes}}}
	for addr := uint64(0); addr < m.segments[0].size; addr += pageBytes {
		_, err := m.word(addr)
		require.NoError(t, err)
		require.LessOrEqual(t, len(m.pages.kept), pagesKept)
	}
}
