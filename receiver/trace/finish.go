// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"bytes"
)

// finished takes a request all of whose records have come.
func (t *tracer) finished(q *request) {
	p := t.processes[int(q.PID)]
	if p == nil {
		return // it ended before its last records were read
	}
	if !p.verified {
		if c := t.checking[p.PID]; c != nil && bytes.Equal(q.Key, c.key) {
			q.Record = own(&q.Record)
			c.seen = append(c.seen, *q)
		}
		return
	}
	if o := byCode(q.Operation); o != nil && !q.failed {
		switch o.name {
		case "authenticate", "auth_enable":
			t.followUsers(p)
		case "auth_disable":
			t.ignoreUsers(p)
		}
	}
	t.emit(p, q)
}

func (t *tracer) emit(p *process, q *request) {
	if t.Debug != nil {
		t.Debug(q)
	}
}
