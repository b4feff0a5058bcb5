// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/etcdreceiver/etcdreceiver/internal/redact"
)

// text is where the strings of a record are written, one after the other. They
// become one string, of which each is a part, and the key is a part of the
// sentence: so they cost one copy and no allocation each.
type text []byte

// part is where in its text a string is.
type part struct{ from, to int }

func (p part) of(s string) string { return s[p.from:p.to] }

func (p part) len() int { return p.to - p.from }

// count is the number of attributes it takes: an empty one is left out.
func (p part) count() int {
	if p.len() == 0 {
		return 0
	}
	return 1
}

// since gives the part that began at from.
func (t *text) since(from int) part { return part{from, len(*t)} }

func (t *text) words(s string) { *t = append(*t, s...) }

func (t *text) number(n int64) { *t = strconv.AppendInt(*t, n, 10) }

// again writes once more what is there.
func (t *text) again(p part) { *t = append(*t, (*t)[p.from:p.to]...) }

func (t *text) key(key []byte) part {
	from := len(*t)
	*t = appendKey(*t, key)
	return t.since(from)
}

// uid is what log.record.uid holds: the revision, and as hex the xxHash64 of
// identity and cluster id, 8 bytes each, least significant first. It is the same
// in every run and collector, and another one for the same change elsewhere.
func (t *text) uid(revision int64, identity, cluster uint64) (uid, rev part) {
	var both [16]byte
	binary.LittleEndian.PutUint64(both[:8], identity)
	binary.LittleEndian.PutUint64(both[8:], cluster)
	from := len(*t)
	t.number(revision)
	rev = t.since(from)
	*t = appendHex(append(*t, '-'), xxhash.Sum64(both[:]))
	return t.since(from), rev
}

// lease writes what resource.ID gives, and nothing for none.
func (t *text) lease(id int64) part {
	from := len(*t)
	if id != 0 {
		*t = appendHex(*t, uint64(id))
	}
	return t.since(from)
}

// shown is what a record shows of a value.
type shown struct {
	redact.Value
	text part // the hash or the text
}

func (t *text) value(rules *redact.Rules, policy redact.Policy, value []byte) shown {
	from := len(*t)
	var v redact.Value
	*t, v = rules.Append(*t, policy, value)
	return shown{v, t.since(from)}
}

const hexDigits = "0123456789abcdef"

// appendHex writes 16 digits.
func appendHex(s []byte, v uint64) []byte {
	var digits [16]byte
	for i := range digits {
		digits[i] = hexDigits[v>>60]
		v <<= 4
	}
	return append(s, digits[:]...)
}

// shelf keeps short strings in few allocations. A string keeps the chunk that it
// is in: who holds one record of a batch holds up to chunkBytes with it.
type shelf struct{ chunk strings.Builder }

// chunkBytes is room for the strings of some thirty records; the thirtieth part of
// an allocation does not show any more.
const chunkBytes = 4 << 10

// keep copies s. before is how many there were: a chunk is for as many again, so a
// small batch takes little.
func (k *shelf) keep(s []byte, before int) string {
	if len(s) > chunkBytes/4 {
		return string(s) // it would leave too much of a chunk empty
	}
	if k.chunk.Cap()-k.chunk.Len() < len(s) {
		k.chunk.Reset() // the old one belongs to its strings now
		k.chunk.Grow(min(chunkBytes, len(s)*(before+1)))
	}
	from := k.chunk.Len()
	_, _ = k.chunk.Write(s)
	return k.chunk.String()[from:]
}
