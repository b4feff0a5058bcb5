// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// Event is one change as etcd's watch tells it, or one existing key as a read
// does. Its bytes are views into a buffer of the one who read them: who keeps any
// of them copies them.
type Event struct {
	// Delete tells a delete from a put. Of a deleted key etcd sends only Key and
	// ModRevision.
	Delete bool
	KV     KeyValue
	// HasPrev tells whether Prev is there: not for a key's first put, nor if the
	// revision before was compacted, nor if it was not asked for.
	HasPrev bool
	Prev    KeyValue
}

// KeyValue is a key at one revision; the fields are those of mvccpb.KeyValue.
type KeyValue struct {
	Key, Value     []byte
	CreateRevision int64
	ModRevision    int64
	Version        int64
	Lease          int64 // 0 for none
}

// Identity is a 64-bit hash of all that etcd says about the change itself, and
// nothing of what depends on when it is read (the previous value can be compacted
// away). Equal changes have equal identities, in every run and collector.
func (e *Event) Identity() uint64 {
	var b [8 * 7]byte
	if e.Delete {
		b[0] = 1
	}
	binary.LittleEndian.PutUint64(b[8:], xxhash.Sum64(e.KV.Key))
	binary.LittleEndian.PutUint64(b[16:], uint64(e.KV.ModRevision))
	if !e.Delete {
		binary.LittleEndian.PutUint64(b[24:], uint64(e.KV.CreateRevision))
		binary.LittleEndian.PutUint64(b[32:], uint64(e.KV.Version))
		binary.LittleEndian.PutUint64(b[40:], uint64(e.KV.Lease))
		binary.LittleEndian.PutUint64(b[48:], xxhash.Sum64(e.KV.Value))
	}
	return xxhash.Sum64(b[:])
}
