// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package redact decides what of a value may leave the host. It is pure: bytes
// and rules in, text out.
package redact

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"unicode/utf8"
)

// Policy is how much of a value is shown.
type Policy string

// Policies, from the least to the most that is shown.
const (
	None   Policy = "none"   // nothing, not even a length
	Size   Policy = "size"   // its length
	Hash   Policy = "hash"   // its length and SHA-256
	Text   Policy = "text"   // the value, base64 where it is not UTF-8
	Base64 Policy = "base64" // the value, always base64
)

// Rules say which policy a key's value falls under. The zero Rules show nothing.
type Rules struct {
	// Policy of keys that no pattern matches.
	Policy Policy
	// MaxBytes is where a shown value is cut; 0 is no limit.
	MaxBytes int
	// Keys are patterns of keys whose values are reduced to Action, whatever
	// Policy says. RE2: matching takes time linear in the key's length.
	Keys []*regexp.Regexp
	// Action is None, Size or Hash.
	Action Policy
}

// Compile compiles the patterns. The error names the pattern by its index and
// says what is wrong with it.
func Compile(patterns []string) ([]*regexp.Regexp, error) {
	out := make([]*regexp.Regexp, 0, len(patterns))
	for i, p := range patterns {
		re, err := regexp.Compile(p)
		if err != nil {
			return nil, fmt.Errorf("[%d] %q: %w", i, p, err)
		}
		out = append(out, re)
	}
	return out, nil
}

// For gives the policy of a key's value.
func (r *Rules) For(key []byte) Policy {
	if rank(r.Action) >= rank(r.Policy) {
		return r.Policy // a redacting rule never shows more; spare the patterns, which cost more than the whole record
	}
	for _, re := range r.Keys {
		if re.Match(key) {
			return r.Action
		}
	}
	return r.Policy
}

func rank(p Policy) int {
	switch p {
	case Size:
		return 1
	case Hash:
		return 2
	case Text, Base64:
		return 3
	default:
		return 0
	}
}

// Facts are what may be told of a value, each at most one attribute of a record.
type Facts uint8

// What may be told.
const (
	Length      Facts = 1 << iota // Value.Size
	Digest                        // Append wrote the hash, 64 hex digits
	Content                       // Append wrote the value, which can be empty
	IsBase64                      // as base64
	IsTruncated                   // cut at MaxBytes
)

// Has tells whether f is among them.
func (facts Facts) Has(f Facts) bool { return facts&f != 0 }

// Value is what is left of a value, together with what Append wrote.
type Value struct {
	Facts
	Size int
}

// Append reduces value to what policy shows and appends that to dst, always valid
// UTF-8. It keeps no reference to value.
func (r *Rules) Append(dst []byte, policy Policy, value []byte) ([]byte, Value) {
	switch policy {
	case Size:
		return dst, Value{Length, len(value)}
	case Hash:
		sum := sha256.Sum256(value)
		return hex.AppendEncode(dst, sum[:]), Value{Length | Digest, len(value)}
	case Text, Base64:
		v := Value{Length | Content, len(value)}
		// Decided on the whole value: a cut can leave half a character at its end.
		if policy == Base64 || !utf8.Valid(value) {
			v.Facts |= IsBase64
		}
		cut := r.cut(value, v.Has(IsBase64))
		if len(cut) < len(value) {
			v.Facts |= IsTruncated
		}
		if v.Has(IsBase64) {
			return base64.StdEncoding.AppendEncode(dst, cut), v
		}
		return append(dst, cut...), v
	default:
		return dst, Value{}
	}
}

// cut shortens value to MaxBytes, text at the start of a character.
func (r *Rules) cut(value []byte, isBinary bool) []byte {
	if r.MaxBytes == 0 || len(value) <= r.MaxBytes {
		return value
	}
	end := r.MaxBytes
	for !isBinary && end > 0 && !utf8.RuneStart(value[end]) {
		end--
	}
	return value[:end]
}
