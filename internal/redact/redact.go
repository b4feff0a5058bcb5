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
	if weaker(r.Action, r.Policy) == r.Policy {
		return r.Policy // a match would show as much: spare the patterns, which cost more than the whole record
	}
	for _, re := range r.Keys {
		if re.Match(key) {
			return r.Action
		}
	}
	return r.Policy
}

// weaker keeps a redacting rule from showing more than the policy would.
func weaker(a, b Policy) Policy {
	if rank(b) < rank(a) {
		return b
	}
	return a
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

// Value is what is left of a value.
type Value struct {
	// HasSize tells whether Size may be shown.
	HasSize bool
	Size    int
	// Hash is 64 hex digits, or "".
	Hash string
	// HasText tells whether Text may be shown; it can be "" for an empty value.
	HasText   bool
	Text      string
	IsBase64  bool
	Truncated bool
}

// Apply reduces value to what policy shows. It keeps no reference to value.
func (r *Rules) Apply(policy Policy, value []byte) Value {
	if policy == None || policy == "" {
		return Value{}
	}
	v := Value{HasSize: true, Size: len(value)}
	switch policy {
	case Hash:
		sum := sha256.Sum256(value)
		v.Hash = hex.EncodeToString(sum[:])
	case Text, Base64:
		v.HasText = true
		// Decided on the whole value: a cut can leave half a character at its end.
		v.IsBase64 = policy == Base64 || !utf8.Valid(value)
		value, v.Truncated = r.cut(value, v.IsBase64)
		if v.IsBase64 {
			v.Text = base64.StdEncoding.EncodeToString(value)
		} else {
			v.Text = string(value)
		}
	}
	return v
}

// cut shortens value to MaxBytes, text at the start of a character.
func (r *Rules) cut(value []byte, isBinary bool) ([]byte, bool) {
	if r.MaxBytes == 0 || len(value) <= r.MaxBytes {
		return value, false
	}
	end := r.MaxBytes
	for !isBinary && end > 0 && !utf8.RuneStart(value[end]) {
		end--
	}
	return value[:end], true
}
