// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"bytes"

	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

// Write is a request that etcd answered with success and that may have changed
// keys.
type Write struct {
	// PID of the etcd that served it.
	PID int
	// Revision of the answer's header: the write's own if it changed something, else
	// that of another write before.
	Revision int64
	// Certain tells that it did change something.
	Certain bool
	// By is who asked, and how long it took.
	By logrecord.Author
	// Puts and Deletes are what it may have changed. With Incomplete there is more.
	Puts, Deletes []Keys
	Incomplete    bool
	// Lease whose keys it deletes, 0 if it does not revoke one.
	Lease int64
}

// writeBytes is what a Write takes without its keys: names are cut to 64 bytes in the
// kernel.
const writeBytes = 224 + 2*64

// keyBytes is what its keys take.
func (w *Write) keyBytes() (n int) {
	for _, keys := range [][]Keys{w.Puts, w.Deletes} {
		for i := range keys {
			n += len(keys[i].Key) + len(keys[i].End) + 64
		}
	}
	return n
}

// Keys are one key, or those from Key on and before End, as etcd's requests name
// them: https://etcd.io/docs/v3.6/learning/api/#key-ranges
type Keys struct {
	Key, End []byte
	// Cut tells that of Key only the beginning is known.
	Cut bool
	// Below: all keys that begin with Key.
	Below bool
}

func (k *Keys) has(key []byte) bool {
	switch {
	case k.Below:
		return bytes.HasPrefix(key, k.Key)
	case len(k.End) == 0 && k.Cut:
		return bytes.HasPrefix(key, k.Key)
	case len(k.End) == 0:
		return bytes.Equal(key, k.Key)
	case len(k.End) == 1 && k.End[0] == 0: // all from Key on
		return bytes.Compare(key, k.Key) >= 0
	default:
		return bytes.Compare(key, k.Key) >= 0 && bytes.Compare(key, k.End) < 0
	}
}

// Change is what a watch tells of a change.
type Change struct {
	Revision int64
	Key      []byte
	Delete   bool
	// Lease that the key was attached to, 0 if it was none or is not known.
	Lease int64
}

// made tells whether the request may have made the change.
func (w *Write) made(c *Change) bool {
	switch {
	case w.Lease != 0:
		return c.Delete && (c.Lease == 0 || c.Lease == w.Lease)
	case w.Incomplete && w.Certain: // its revision has no changes of others
		return true
	}
	keys := w.Puts
	if c.Delete {
		keys = w.Deletes
	}
	for i := range keys {
		if keys[i].has(c.Key) {
			return true
		}
	}
	return false
}

// Applied is a write as a member took it from its raft log.
type Applied struct {
	// PID of the etcd that applied it.
	PID      int
	Revision int64
	// Here tells that a member that is traced on this host proposed it: it has the
	// request.
	Here bool
	// MemberID that proposed it, 0 if it is not known.
	MemberID uint64
	// User is what the log says: "" with authentication off.
	User string
	// Operation: put, delete_range, txn, lease_revoke, or "" for another one.
	Operation string
	// Lease that was revoked.
	Lease int64
}

// author is what the log says of who wrote.
func (a *Applied) author() *logrecord.Author {
	return &logrecord.Author{Source: metadata.AttributeEtcdAuthorSourceRaft, User: a.User, Operation: a.Operation, MemberID: a.MemberID, Duration: -1}
}

// complete adds what the log says of a request's user: a request that was under way
// when its tracing began has none. a is nil if the log was not seen.
func (a *Applied) complete(by *logrecord.Author) *logrecord.Author {
	if a == nil || a.User == "" || by.User != "" {
		return by
	}
	completed := *by
	completed.User = a.User
	return &completed
}

// allows tells whether a request may be the one that the log has at its revision.
func (a *Applied) allows(w *Write) bool {
	switch {
	case a == nil:
		return true
	case !a.Here:
		return false
	case a.User != "" && w.By.User != "" && a.User != w.By.User:
		return false
	case a.Operation == "" || !plain[w.By.Operation]:
		return true
	default:
		return a.Operation == w.By.Operation && (a.Lease == 0 || a.Lease == w.Lease)
	}
}

// plain are the requests that are one entry of the raft log under their own name. A
// lock or an election makes transactions.
var plain = map[string]bool{"put": true, "delete_range": true, "txn": true, "lease_revoke": true}
