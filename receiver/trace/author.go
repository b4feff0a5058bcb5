// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"bytes"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/join"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
)

// served tells the watch of a request that was answered with success and may have
// changed keys.
func (t *tracer) served(p *process, q *request) {
	o := byCode(q.Operation)
	if t.Window == nil || q.failed || q.Kind != bpf.KindRequest || o == nil || o.read {
		return
	}
	start, took := t.times(p, q)
	by := logrecord.Author{
		Source: logrecord.AuthorRequest, Operation: o.name, User: string(q.User), Subject: string(q.Subject), Client: q.Client, Duration: took,
	}
	if o.name == "lease_grant" {
		t.Window.Granted(q.Answer, &by, start.Add(took))
		return
	}
	if w := writeOf(o, q); w != nil && q.Revision > 0 {
		w.PID, w.Revision, w.By = p.PID, q.Revision, by
		t.Window.Served(w)
	}
}

// writeOf gives what a request may have changed, nil if that is nothing.
func writeOf(o *operation, q *request) *join.Write {
	key := keysOf(&q.Record)
	switch o.name {
	case "put":
		return &join.Write{Certain: true, Puts: []join.Keys{key}}
	case "delete_range":
		if q.Count == 0 {
			return nil
		}
		return &join.Write{Certain: q.Count > 0, Deletes: []join.Keys{key}}
	case "txn":
		return writeOfTxn(q)
	case "lease_revoke":
		return &join.Write{Lease: q.Number}
	case "lock", "campaign":
		key.Below = true // the key is its name, a slash and the lease
		return &join.Write{Puts: []join.Keys{key}, Deletes: []join.Keys{key}}
	case "unlock":
		return &join.Write{Deletes: []join.Keys{key}}
	default:
		return nil
	}
}

// keysOf copies the keys of a record. Of a long end only the beginning is there: what
// lies before the end lies before the greatest that begins like that.
func keysOf(r *bpf.Record) join.Keys {
	k := join.Keys{Key: bytes.Clone(r.Key), End: bytes.Clone(r.End), Cut: int(r.KeyLen) > len(r.Key)}
	if int(r.EndLen) > len(r.End) {
		k.End = append(k.End, 0xff)
	}
	return k
}

// writeOfTxn looks at the branch that ran. Deletes may have found nothing.
func writeOfTxn(q *request) *join.Write {
	w := &join.Write{Incomplete: q.incomplete() || q.Partial || q.Count > maxInner}
	for i := range q.inner {
		in := &q.inner[i]
		key := keysOf(in)
		switch inner[min(int(in.Operation), len(inner)-1)] {
		case "put":
			w.Puts = append(w.Puts, key)
			w.Certain = true
		case "delete_range":
			w.Deletes = append(w.Deletes, key)
		case "range":
		default:
			w.Incomplete = true // one that is not known, or a transaction inside
		}
	}
	if len(w.Puts) == 0 && len(w.Deletes) == 0 && !w.Incomplete {
		return nil
	}
	return w
}
