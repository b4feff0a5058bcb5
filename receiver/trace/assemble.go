// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"bytes"
	"time"

	"github.com/etcdreceiver/etcdreceiver/bpf"
)

// request is one request with all that records told about it. It owns its bytes.
type request struct {
	bpf.Record
	inner   []bpf.Record // of a transaction: the operations of the branch that ran
	failed  bool
	code    uint32 // gRPC's, of a failed request; known tells whether it is
	known   bool
	message string
}

// assembler puts together the records of a request. They are of one goroutine and
// come one after the other, with those of other goroutines in between:
//
//	request, [inner ...]             it succeeded
//	[failure ...,] request, failure  it failed: interceptors may have asked for the reason before
//
// What is lost in the ring is not waited for longer than that.
type assembler struct {
	done    func(*request)
	waiting map[goroutine]*waiting
}

type goroutine struct {
	pid uint32
	g   uint64
}

type waiting struct {
	request
	since time.Time
}

const (
	// patience is how long a failed request waits for its reason. The records are
	// written within microseconds, unless the machine stands still meanwhile.
	patience = 2 * time.Second
	// innerPatience is how long a transaction waits for its operations: less than
	// watch.Patience, since its changes wait for it.
	innerPatience = 500 * time.Millisecond
)

func newAssembler(done func(*request)) *assembler {
	return &assembler{done: done, waiting: map[goroutine]*waiting{}}
}

// take reads a record. r is the caller's.
func (a *assembler) take(r *bpf.Record, now time.Time) {
	key := goroutine{r.PID, r.Goroutine}
	if key.g == 0 {
		key.g = uint64(r.TID) // Go 1.16: it hardly ever leaves its thread in these microseconds
	}
	w := a.waiting[key]
	switch r.Kind {
	case bpf.KindInner:
		if w != nil {
			w.inner = append(w.inner, own(r))
			if !w.incomplete() {
				a.finish(key, w)
			}
		}
	case bpf.KindFailure:
		if w != nil && w.failed {
			w.code, w.known, w.message = r.Code, true, string(r.Message)
			a.finish(key, w)
		}
	default:
		if w != nil {
			a.finish(key, w)
		}
		q := request{Record: *r, failed: r.Failed && r.Kind == bpf.KindRequest}
		if !q.incomplete() {
			a.done(&q)
			return
		}
		q.Record = own(r)
		a.waiting[key] = &waiting{request: q, since: now}
	}
}

// incomplete tells whether records are still to come.
func (q *request) incomplete() bool {
	if q.failed {
		return !q.known
	}
	o := byCode(q.Operation)
	return o != nil && o.family == familyTxn && q.Kind == bpf.KindRequest && int64(len(q.inner)) < min(q.Count, maxInner)
}

// maxInner is how many operations of a transaction are told: INNER_MAX.
const maxInner = 128

// sweep gives up waiting for what is long overdue.
func (a *assembler) sweep(now time.Time) {
	for key, w := range a.waiting {
		limit := innerPatience
		if w.failed {
			limit = patience
		}
		if now.Sub(w.since) > limit {
			a.finish(key, w)
		}
	}
}

func (a *assembler) finish(key goroutine, w *waiting) {
	delete(a.waiting, key)
	a.done(&w.request)
}

// own copies what lies in the ring.
func own(r *bpf.Record) bpf.Record {
	c := *r
	for _, field := range []*[]byte{&c.Key, &c.End, &c.Method, &c.User, &c.Subject, &c.Message} {
		*field = bytes.Clone(*field)
	}
	return c
}
