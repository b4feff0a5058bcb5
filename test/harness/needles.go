// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Needles are secrets that are searched for in all that left a program: as they are
// and in every form in which programs write bytes, whole or a part of them, and
// their hash. Letters of either case count as the same.
type Needles struct {
	forms map[uint64][]form // by their first eight bytes
	begin []bool            // by a hash of these: whether there is any; most of a text is passed over by this
}

// form is how a part of a secret looks somewhere.
type form struct {
	text []byte // in small letters
	Found
}

// Found is what was found of a secret.
type Found struct {
	What string // which secret
	Form string // how it was written: plain, hex, base64, ..., or sha256
}

// needlePart is how many bytes of a secret in a row are enough to know it again. A
// secret that was cut shows as many, unless less than twice of it is left.
const needlePart = 10

// Plant has a secret of at least needlePart bytes searched for. what is for messages.
func (n *Needles) Plant(what, secret string) {
	if len(secret) < needlePart {
		panic("a needle of " + what + " is too short to be known again")
	}
	for at := 0; at < len(secret); at += needlePart {
		part := secret[min(at, len(secret)-needlePart):][:needlePart]
		for _, written := range writings(part) {
			n.add(what, written.how, written.text)
		}
	}
	n.PlantHash(what, secret)
}

// PlantHash has the hash of a text searched for that need not be a secret as such.
func (n *Needles) PlantHash(what, text string) {
	sum := sha256.Sum256([]byte(text))
	n.add(what, "sha256", hex.EncodeToString(sum[:]))
	n.add(what, "sha256", base64.StdEncoding.EncodeToString(sum[:]))
}

func (n *Needles) add(what, how, text string) {
	if n.forms == nil {
		n.forms, n.begin = map[uint64][]form{}, make([]bool, 1<<beginBits)
	}
	low := lower([]byte(text))
	first := binary.LittleEndian.Uint64(low)
	n.forms[first] = append(n.forms[first], form{low, Found{what, how}})
	n.begin[beginOf(first)] = true
}

const beginBits = 20

// beginOf is Fibonacci hashing.
func beginOf(first uint64) uint64 { return first * 0x9e3779b97f4a7c15 >> (64 - beginBits) }

type writing struct{ how, text string }

// writings are the forms of bytes that programs write: as they are, in JSON, URLs, Go's
// %x, %q and %v, and in base64 wherever they may begin there.
func writings(part string) []writing {
	each := func(format, between string) string {
		var all []string
		for _, b := range []byte(part) {
			all = append(all, fmt.Sprintf(format, b))
		}
		return strings.Join(all, between)
	}
	all := []writing{
		{"plain", part},
		{"hex", each("%02x", "")},
		{"hex", each("%02x", " ")},
		{"url", each("%%%02x", "")},
		{"escaped", each(`\x%02x`, "")},
		{"escaped", each(`\u%04x`, "")},
		{"list", each("0x%02x", ", ")},
		{"list", each("%d", " ")},
		{"list", each("%d", ",")},
		{"wide", each("%c", "\x00")},
	}
	for shift := range 3 {
		shifted := []byte(strings.Repeat("x", shift) + part)
		for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			encoded := alphabet.EncodeToString(shifted)
			from, to := (shift*8+5)/6, len(shifted)*8/6 // the characters that are of the part alone
			all = append(all, writing{"base64", encoded[from:to]})
		}
	}
	return all
}

// Find tells what there is of the secrets in a text, each form once.
func (n *Needles) Find(text []byte) []Found {
	var all []Found
	if n.forms == nil {
		return nil
	}
	low := lower(text)
	for i := 0; i+8 <= len(low); i++ {
		first := binary.LittleEndian.Uint64(low[i:])
		if !n.begin[beginOf(first)] {
			continue
		}
		for _, f := range n.forms[first] {
			if bytes.HasPrefix(low[i:], f.text) && !slices.Contains(all, f.Found) {
				all = append(all, f.Found)
			}
		}
	}
	return all
}

// Shows tells whether a text shows a secret or a part of it, and whether its hash.
func Shows(text []byte, secret string) (secretItself, hash bool) {
	var n Needles
	n.Plant("it", secret)
	for _, f := range n.Find(text) {
		if f.Form == "sha256" {
			hash = true
		} else {
			secretItself = true
		}
	}
	return secretItself, hash
}

// lower leaves alone what is no ASCII letter: bytes.ToLower rewrites what is no UTF-8.
func lower(text []byte) []byte {
	out := make([]byte, len(text))
	for i, b := range text {
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		out[i] = b
	}
	return out
}
