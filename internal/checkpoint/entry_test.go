// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// nonsense is what check must find, in a position to save as in a stored one.
var nonsense = []struct {
	position Position
	message  string
}{
	{Position{}, "revision 0"},
	{at(-1), "revision -1"},
	{Position{Snapshot: &Snapshot{Revision: 5}}, "revision 0"},
	{Position{Revision: 2, Fingerprint: &Fingerprint{Key: []byte("k")}}, "fingerprint of revision 0 at revision 2"},
	{Position{Revision: 2, Fingerprint: &Fingerprint{Revision: -2, Key: []byte("k")}}, "fingerprint of revision -2 at revision 2"},
	{Position{Revision: 2, Fingerprint: &Fingerprint{Revision: 3, Key: []byte("k")}}, "fingerprint of revision 3 at revision 2"},
	{Position{Revision: 2, Fingerprint: &Fingerprint{Revision: 2, Key: []byte("k"), Deleted: true, Value: 1}}, "fingerprint with the value of a deleted key"},
	{Position{Revision: 2, Snapshot: &Snapshot{Next: []byte("k")}}, "snapshot of revision 0"},
	{Position{Revision: 2, Snapshot: &Snapshot{Revision: -1}}, "snapshot of revision -1"},
	{Position{Revision: 2, Snapshot: &Snapshot{Revision: 5, Above: -1}}, "snapshot of revision 5 above revision -1"},
	{Position{Revision: 2, Snapshot: &Snapshot{Revision: 5, Above: 6}}, "snapshot of revision 5 above revision 6"},
}

func TestEveryKindOfDamageIsTold(t *testing.T) {
	text := `{"positions":[{"prefix":"YQ==","origin":"stored","cluster_id":"0000000000000001","revision":7}]}`
	good := string(seal(text))
	sum := good[len(good)-len(text)-9 : len(good)-len(text)-1]
	line := fmt.Sprintf("%s 1 %d %s\n", magic, len(text), sum)
	require.Equal(t, good, line+text)
	one := func(fields string) string {
		return string(seal(`{"positions":[{"prefix":"YQ==","origin":"stored","cluster_id":"1",` + fields + `}]}`))
	}
	for want, entry := range map[string]string{
		"does not begin as a checkpoint does":   "SQLite format 3\x00",
		"cut off within its first line":         good[:len(magic)],
		"format version is not a number":        magic + " x 3 00000000\nabc",
		"unknown format version 0":              magic + " 0 3 00000000\nabc",
		"unknown format version -1":             magic + " -1 3 00000000\nabc",
		"first line is not one of a checkpoint": magic + " 1 2 3 4\n" + text,
		"length is not a number":                magic + " 1 x 00000000\n" + text,
		"cut off: 93 of 96 bytes":               good[:len(good)-3],
		"wrong length: 97 bytes in place of 96": good + " ",
		"wrong checksum":                        line + text[:20] + "X" + text[21:],
		fmt.Sprintf("%d bytes long, more than %d", len(line)+maxEntry, maxEntry): line + string(make([]byte, maxEntry)),
		"not the JSON of a checkpoint: unexpected end of JSON input":             string(seal(`{"positions":[`)),
		"no positions":                                              string(seal(`{}`)),
		"nonsense: revision 0":                                      one(`"revision":0`),
		"nonsense: snapshot of revision 0":                          one(`"revision":1,"snapshot":{"next":"YQ=="}`),
		"nonsense: a position that is said to be lost":              string(seal(`{"positions":[{"prefix":"","origin":"lost","revision":1}]}`)),
		`nonsense: a position of origin "none"`:                     string(seal(`{"positions":[{"prefix":"","revision":1}]}`)),
		`nonsense: a position of origin "new prefix"`:               string(seal(`{"positions":[{"prefix":"","origin":"new prefix","revision":1}]}`)),
		"nonsense: a prefix occurs twice":                           string(seal(`{"positions":[{"origin":"lost"},{"origin":"lost"}]}`)),
		"not the JSON of a checkpoint: unknown origin":              string(seal(`{"positions":[{"origin":"elsewhere"}]}`)),
		"not the JSON of a checkpoint: not a number in hexadecimal": string(seal(`{"positions":[{"cluster_id":"+g"}]}`)),
	} {
		t.Run(want, func(t *testing.T) {
			records, err := decode([]byte(entry))
			require.EqualError(t, err, want)
			assert.Nil(t, records)
		})
	}
	for _, c := range nonsense {
		_, err := decode(entryOf(t, "a", c.position))
		require.EqualError(t, err, "nonsense: "+c.message)
	}
}

func TestAnEntryCutAnywhereIsNeverAWrongPosition(t *testing.T) {
	newest, previous := entryOf(t, "a", full(7)), entryOf(t, "a", full(5))
	for n := range newest {
		s := open(t, newDisk(newest[:n], previous))
		assertLoads(t, s, "a", full(5), Previous)
		require.Error(t, s.Damage())
		s = open(t, newDisk(newest[:n], previous[:min(n, len(previous)-1)]))
		assertLoads(t, s, "a", Position{}, Lost)
	}
}

func TestAFlippedBitIsNeverAWrongPosition(t *testing.T) {
	newest, previous := entryOf(t, "a", full(7)), entryOf(t, "a", full(5))
	for i := range newest {
		for bit := range 8 {
			damaged := slices.Clone(newest)
			damaged[i] ^= 1 << bit
			s, err := Open(t.Context(), newDisk(damaged, previous))
			var newer *FutureError
			if assert.False(t, err == nil && s.Damage() == nil, "byte %d, bit %d", i, bit); err != nil {
				require.ErrorAs(t, err, &newer)
				require.Contains(t, []int{len(magic) + 1, len(magic) + 2}, i, "only the version and what ends it can look like a newer one")
				continue
			}
			assertLoads(t, s, "a", full(5), Previous)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(entryOf(f, "/a/", full(7)))
	f.Add(entryOf(f, "\xff", at(7)))
	f.Add([]byte(magic + " 2 3 00000000\nabc"))
	f.Add([]byte(`{"positions":[{"prefix":"","origin":"lost"}]}`))
	f.Add([]byte(`{"positions":[{"prefix":null,"origin":"previous","revision":5,"snapshot":{"revision":9,"next":""}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, entry := range [][]byte{data, seal(string(data))} { // a fuzzer finds no checksum
			records, err := decode(entry)
			if err != nil {
				continue
			}
			again, err := encode(records)
			require.NoError(t, err)
			reread, err := decode(again)
			require.NoError(t, err)
			require.Len(t, reread, len(records))
			for prefix, r := range records {
				assert.Equal(t, r.Origin, reread[prefix].Origin)
				assert.Equal(t, r.Position, reread[prefix].Position)
			}
		}
	})
}
