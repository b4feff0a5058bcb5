// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"unicode/utf8"
)

// keyText writes a key as text. A byte that is not part of valid UTF-8 becomes
// \xNN; one such byte in an OTLP string can make a backend refuse the batch.
func keyText(key []byte) string {
	if utf8.Valid(key) {
		return string(key)
	}
	return string(appendEscaped(make([]byte, 0, len(key)+16), key))
}

func appendEscaped(out, key []byte) []byte {
	const hex = "0123456789abcdef"
	for len(key) > 0 {
		r, size := utf8.DecodeRune(key)
		if r == utf8.RuneError && size == 1 {
			out = append(out, '\\', 'x', hex[key[0]>>4], hex[key[0]&15])
		} else {
			out = append(out, key[:size]...)
		}
		key = key[size:]
	}
	return out
}
