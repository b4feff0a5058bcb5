// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"bytes"
	"time"

	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/join"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

// followWrites has a process tell the writes that it applies: two more traps for each
// of them, so only where somebody asks.
func (t *tracer) followWrites(p *process) {
	if t.Window == nil || len(p.executable.applied) == 0 || p.writes != nil {
		return
	}
	var err error
	if p.writes, err = t.programs.Attach(executablePath(t.proc(), p.PID), p.PID, p.executable.applied); err != nil {
		t.Logger.Warn("what other members served cannot be told", zap.Int("pid", p.PID), zap.Error(err))
	}
}

// tieWrites ties the changes of a process that passed its self-check to its requests
// from now on.
func (t *tracer) tieWrites(p *process, answers []answer) {
	if t.Window == nil {
		return
	}
	var revision uint64
	for _, a := range answers {
		if a.cluster == p.cluster && a.member == p.member { // others may be ahead
			revision = max(revision, a.revision)
		}
	}
	t.Window.Tracing(p.PID, int64(revision))
}

// applied tells the watch of a write that a member has applied.
func (t *tracer) applied(r *bpf.Record) {
	p := t.processes[int(r.PID)]
	if t.Window == nil || p == nil || !p.verified {
		return
	}
	switch r.Operation {
	case bpf.AppliedGrant:
		t.granted(r)
		return
	case bpf.Revoking:
		t.Window.Revoking(r.Number)
		return
	}
	a := &join.Applied{PID: p.PID, Revision: r.Revision, User: string(r.User), Operation: appliedNames[r.Operation], Lease: r.Number}
	proposer := proposerOf(r.ID)
	for _, other := range t.processes {
		a.Here = a.Here || other.verified && uint16(other.member) == proposer
	}
	if !a.Here {
		member, ok := t.Cluster.Member(proposer)
		if !ok {
			return // it has joined just now, or this build writes its log in another way
		}
		a.MemberID = member
	}
	t.Window.Applied(a)
}

// granted notes a lease that somebody was granted anywhere in the cluster. Where the
// request is traced here, it says more, and comes after.
func (t *tracer) granted(r *bpf.Record) {
	by := logrecord.Author{User: string(r.User)}
	t.Window.Granted(r.Number, &by, time.Unix(0, int64(r.Time)+t.ahead))
}

// proposerOf gives the last two bytes of the member's id: pkg/idutil/id.go.
func proposerOf(entry uint64) uint16 { return uint16(entry >> 48) }

var appliedNames = map[uint8]string{
	bpf.AppliedPut: "put", bpf.AppliedDelete: "delete_range", bpf.AppliedTxn: "txn", bpf.AppliedRevoke: "lease_revoke",
}

// served tells the watch of a request that was answered with success and may have
// changed keys.
func (t *tracer) served(p *process, q *request) {
	o := byCode(q.Operation)
	if t.Window == nil || q.Kind != bpf.KindRequest || o == nil || o.read {
		return
	}
	if q.failed {
		if o.name == "lease_revoke" {
			t.Window.NotRevoked(q.Number)
		}
		return
	}
	start, took := t.times(p, q)
	by := logrecord.Author{
		Source: metadata.AttributeEtcdAuthorSourceRequest, Operation: o.name, User: string(q.User), Subject: string(q.Subject), Client: q.Client,
		Process: t.caller(p, q.Client), Duration: took,
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

// maxKeys is how many keys of a request are kept that certainly made its revision: it
// then made all changes of it.
const maxKeys = 16

// writeOfTxn looks at the branch that ran.
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
			if in.Number != 0 { // bpf.Unknown: it may have found nothing
				w.Deletes = append(w.Deletes, key)
				w.Certain = w.Certain || in.Number > 0
			}
		case "range":
		default:
			w.Incomplete = true // one that is not known, or a transaction inside
		}
	}
	switch keys := len(w.Puts) + len(w.Deletes); {
	case keys == 0 && !w.Incomplete:
		return nil
	case keys > maxKeys && w.Certain:
		w.Puts, w.Deletes, w.Incomplete = nil, nil, true
	}
	return w
}
