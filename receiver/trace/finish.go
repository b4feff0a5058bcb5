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

// finished takes a request all of whose records have come.
func (t *tracer) finished(q *request) {
	p := t.processes[int(q.PID)]
	if p == nil {
		return // it ended before its last records were read
	}
	if bytes.HasPrefix(q.Key, []byte(selfCheckKey)) { // of this receiver or of another one
		if c := t.checking[p.PID]; c != nil && bytes.Equal(q.Key, c.key) {
			q.Record = own(&q.Record)
			c.seen = append(c.seen, *q)
		}
		return
	}
	if !p.verified {
		return
	}
	if p.cluster == 0 && q.Cluster != 0 { // the self-check was refused, as far as etcd goes
		p.cluster, p.member = q.Cluster, q.Member
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
	t.measure(p, q, now)
	t.served(p, q)
	// The programs hand over all that fails, for the metrics, and all that is slow.
	chosen := q.failed || q.Slow || q.Sampled || q.Kind == bpf.KindStream || o == nil || t.emits(o)
	if t.outbox != nil && t.Mode != ModeNone && t.wanted(o) && chosen && t.outbox.hasRoom(o, q.failed, now, t.MaxRecords) {
		t.outbox.add(p, now, func(b *logrecord.Batch) { b.Request(t.describe(p, q)) })
	}
}
