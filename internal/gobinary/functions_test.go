// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNamesOfFunctionsAreReadWhereverAWindowEnds(t *testing.T) {
	read := func(table string) (map[uint32]string, error) {
		const addr = 0x1003
		m := &image{r: bytes.NewReader([]byte(table + "no name")), segments: []segment{{addr: addr, size: uint64(len(table))}}}
		d := &moduledata{names: list{addr, uint64(len(table))}}
		return d.matchNames(m, func(name []byte) bool { return !bytes.HasPrefix(name, []byte("not.")) })
	}
	for _, first := range []int{1, 100, windowBytes - 10, windowBytes - 2, windowBytes - 1} {
		for _, end := range []string{"", "\x00", "\x00\x00", "\x00last", "\x00" + strings.Repeat("c", windowBytes-1) + "\x00last\x00"} {
			table := strings.Repeat("a", first) + "\x00not.this\x00b\x00\x00main.(*x).y" + end
			want := map[uint32]string{}
			offset := 0
			for name := range strings.SplitSeq(table, "\x00") {
				if name != "" && name != "not.this" {
					want[uint32(offset)] = name
				}
				offset += len(name) + 1
			}
			names, err := read(table)
			require.NoError(t, err)
			assert.Equal(t, want, names, "a name of %d bytes, then others that end with %.9q", first, end)
		}
	}
	_, err := read("a\x00" + strings.Repeat("b", windowBytes) + "\x00c\x00")
	assert.ErrorIs(t, err, ErrCorrupt)
	names, err := read("")
	require.NoError(t, err)
	assert.Empty(t, names)
}
