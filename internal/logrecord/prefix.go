// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import "go.opentelemetry.io/collector/pdata/pcommon"

// putPrefix says which keys a record is about that has no key, and gives the text;
// "" for all keys.
func putPrefix(attrs pcommon.Map, prefix string) string {
	if prefix == "" {
		return ""
	}
	text := string(appendKey(nil, []byte(prefix)))
	attrs.PutStr("etcd.watch.prefix", text)
	return text
}

// appendOf goes on with a sentence: of which prefix.
func appendOf(s []byte, prefix string) []byte {
	if prefix == "" {
		return s
	}
	return append(append(s, " of "...), prefix...)
}
