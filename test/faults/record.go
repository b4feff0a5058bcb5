// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

const (
	eventPut      = "etcd.kv.put"
	eventDelete   = "etcd.kv.delete"
	eventGap      = "etcd.watch.gap"
	eventSnapshot = "etcd.watch.snapshot"
)

// Record is one log record that reached the sink. Records are kept in the order of their arrival.
type Record struct {
	Run     int // of the collector, from 1
	Request int // number of the export request that brought it
	Name    string
	Cluster string // id
	Attrs   map[string]any
	Body    string
}

func (r *Record) integer(name string) (int64, bool) {
	v, ok := r.Attrs[name].(int64)
	return v, ok
}

func (r *Record) text(name string) string {
	v, _ := r.Attrs[name].(string)
	return v
}

// keyText writes a key as records do: a byte that is not part of valid UTF-8 becomes \xNN.
func keyText(key string) string {
	if utf8.ValidString(key) {
		return key
	}
	var b strings.Builder
	for len(key) > 0 {
		r, size := utf8.DecodeRuneInString(key)
		if r == utf8.RuneError && size == 1 {
			b.WriteString(`\x` + hex.EncodeToString([]byte(key[:1])))
		} else {
			b.WriteString(key[:size])
		}
		key = key[size:]
	}
	return b.String()
}

// valueAttrs are all attributes of a value under a policy. Text that is cut must be ASCII: letters are not split.
func valueAttrs(prefix, policy string, maxBytes int, value []byte) map[string]any {
	if policy == "none" {
		return nil
	}
	attrs := map[string]any{prefix + "_size": int64(len(value))}
	switch policy {
	case "hash":
		sum := sha256.Sum256(value)
		attrs[prefix+"_hash"] = hex.EncodeToString(sum[:])
	case "text", "base64":
		isText := policy == "text" && utf8.Valid(value)
		if maxBytes > 0 && len(value) > maxBytes {
			value, attrs[prefix+"_truncated"] = value[:maxBytes], true
		}
		if isText {
			attrs[prefix] = string(value)
		} else {
			attrs[prefix], attrs[prefix+"_encoding"] = base64.StdEncoding.EncodeToString(value), "base64"
		}
	}
	return attrs
}

var valueSuffixes = []string{"", "_size", "_hash", "_encoding", "_truncated"}
