// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"bytes"
	"time"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
)

// isSelfCheck tells whether it is what a self-check asks, and nothing more: a client
// must not hide behind the name.
func isSelfCheck(q *request) bool {
	o := byCode(q.Operation)
	return o != nil && o.name == "range" && q.EndLen <= 0 && bytes.HasPrefix(q.Key, []byte(selfCheckKey))
}

// finished takes a request all of whose records have come.
func (t *tracer) finished(q *request) {
	p := t.processes[int(q.PID)]
	if p == nil {
		return // it ended before its last records were read
	}
	if isSelfCheck(q) { // of this receiver or of another one
		if c := t.checking[p.PID]; c != nil && bytes.Equal(q.Key, c.key) {
			q.Record = own(&q.Record)
			c.seen = append(c.seen, *q)
		}
		return
	}
	if !p.verified {
		return
	}
	o := byCode(q.Operation)
	if o != nil && !q.failed {
		switch o.name {
		case "authenticate", "auth_enable":
			t.followUsers(p)
		case "auth_disable":
			t.ignoreUsers(p)
		}
	}
	now := time.Now()
	if q.failed {
		p.failed(q, t)
	}
	t.served(p, q)
	q.hide(t.Exclude)
	t.measure(p, q, now)
	// The programs hand over all that fails, for the metrics, and all that is slow.
	chosen := q.failed || q.Slow || q.Sampled || o == nil || t.emits(o)
	if t.outbox != nil && t.Mode != ModeNone && t.wanted(o) && chosen && t.outbox.hasRoom(o, q.failed, now, t.MaxRecords) {
		t.outbox.add(p, now, func(b *logrecord.Batch) { b.Request(t.describe(p, q)) })
	}
}

// hide leaves out keys below prefixes, and the names of locks and elections, with
// which keys begin.
func (q *request) hide(prefixes []string) {
	if o := byCode(q.Operation); o != nil && (o.keyIs == isKey || o.keyIs == isName) {
		hideKeys(&q.Record, prefixes)
	}
	for i := range q.inner {
		hideKeys(&q.inner[i], prefixes)
	}
}

func hideKeys(r *bpf.Record, prefixes []string) {
	for _, p := range prefixes {
		// The end of a range is not in it: all keys below "/a" end at "/b".
		if bytes.HasPrefix(r.Key, []byte(p)) || len(r.End) > len(p) && bytes.HasPrefix(r.End, []byte(p)) {
			r.Key, r.KeyLen, r.End, r.EndLen = nil, -1, nil, -1
		}
	}
}
