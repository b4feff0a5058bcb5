// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"unicode/utf8"
)

// appendKey writes a key as text. A byte that is not part of valid UTF-8 becomes
// \xNN; one such byte in an OTLP string can make a backend refuse the batch.
func appendKey(s, key []byte) []byte {
	if utf8.Valid(key) {
		return append(s, key...)
	}
	for len(key) > 0 {
		r, size := utf8.DecodeRune(key)
		if r == utf8.RuneError && size == 1 {
			s = append(s, '\\', 'x', hexDigits[key[0]>>4], hexDigits[key[0]&15])
		} else {
			s = append(s, key[:size]...)
		}
		key = key[size:]
	}
	return s
}
