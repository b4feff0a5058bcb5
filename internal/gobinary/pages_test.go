// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"math/rand/v2"
	"sync"
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
		addr := s.addr + random.Uint64N(s.size-n+1)
		p := make([]byte, n)
		require.NoError(t, m.read(p, addr))
		require.Equal(t, want[s][addr-s.addr:][:n], p, "%d bytes at %#x", n, addr)
	}
	assert.Len(t, m.pages.kept, 10)
}

func TestPagesAreFew(t *testing.T) {
	const size = maxPages * pageBytes
	m := &image{r: &endless{}, segments: []segment{{size: size + pageBytes}}}
	for addr := uint64(0); addr < size; addr += pageBytes {
		_, err := m.word(addr)
		require.NoError(t, err)
		require.LessOrEqual(t, len(m.pages.kept), maxPagesKept)
	}
	_, err := m.word(0)
	assert.ErrorIs(t, err, ErrCorrupt, "no file needs more")
}

func TestPointersAreFoundWhereTheLoaderWritesThemAndInMemory(t *testing.T) {
	const wanted = 0x1234_5678
	file := make([]byte, 4*pageBytes)
	for _, at := range []int{0x1000, 0x2ff8} {
		binary.LittleEndian.PutUint64(file[at:], wanted)
	}
	m := &image{r: bytes.NewReader(file), left: maxScanBytes, segments: []segment{{addr: 0, size: uint64(len(file)), flags: elf.PF_W}}}
	var err error
	m.relocations, err = byPage([]relocation{{0x800, 7}, {0x808, wanted}, {0x2000, wanted}})
	require.NoError(t, err)
	found := func() (all []uint64) {
		require.NoError(t, m.eachPointer(wanted, func(at, _ uint64) error {
			all = append(all, at)
			return nil
		}))
		return all
	}
	assert.Equal(t, []uint64{0x808, 0x2000, 0x808, 0x1000, 0x2000, 0x2ff8}, found())
	assert.EqualValues(t, maxScanBytes-len(file)-3*8, m.left, "what is looked at is limited in all")
	m.left = 0
	assert.Empty(t, found())
}

func TestABinaryMayBeAskedByManyAtOnce(t *testing.T) {
	b := open(t, buildSubject(t, variants()[0]).stripped)
	var asking sync.WaitGroup
	for range 8 {
		asking.Go(func() {
			for range 20 {
				_, err := b.Type("os.File", "file")
				assert.NoError(t, err)
				found, err := b.Functions(func(name []byte) bool { return string(name) == "main.main" })
				assert.NoError(t, err)
				assert.Len(t, found, 1)
			}
		})
	}
	asking.Wait()
}
