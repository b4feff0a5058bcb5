// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/etcdreceiver/etcdreceiver/bpf"
)

func codeOf(t *testing.T, name string) uint8 {
	t.Helper()
	for i := range unary {
		if unary[i].name == name {
			return uint8(i + 1)
		}
	}
	t.Fatalf("there is no operation %s", name)
	return 0
}

// told is what the assembler gave, a line each.
type told struct {
	*assembler
	lines []string
}

func newTold() *told {
	t := &told{}
	t.assembler = newAssembler(func(q *request) {
		line := fmt.Sprintf("%s %s", nameOf(q.Operation), q.Key)
		for _, in := range q.inner {
			line += fmt.Sprintf(" %s:%s", inner[in.Operation], in.Key)
		}
		if q.failed {
			line += fmt.Sprintf(" failed %d %t %s", q.code, q.known, q.message)
		}
		t.lines = append(t.lines, line)
	})
	return t
}

func TestRecordsOfARequestAreJoinedWhateverLiesBetweenThem(t *testing.T) {
	now := time.Now()
	put, txn := codeOf(t, "put"), codeOf(t, "txn")
	served := func(g uint64, code uint8, key string, count int64) *bpf.Record {
		return &bpf.Record{Kind: bpf.KindRequest, PID: 1, Goroutine: g, Operation: code, Key: []byte(key), Count: count}
	}
	failed := func(g uint64, key string) *bpf.Record {
		r := served(g, put, key, bpf.Unknown)
		r.Failed = true
		return r
	}
	reason := func(g uint64, code uint32) *bpf.Record {
		return &bpf.Record{Kind: bpf.KindFailure, PID: 1, Goroutine: g, Code: code, Message: []byte("why")}
	}
	part := func(g uint64, key string) *bpf.Record {
		return &bpf.Record{Kind: bpf.KindInner, PID: 1, Goroutine: g, Operation: 1, Key: []byte(key)}
	}
	for name, tc := range map[string]struct {
		records []*bpf.Record
		want    []string
		late    []string // after innerPatience of a transaction, else after patience
	}{
		"a success is told at once":            {[]*bpf.Record{served(7, put, "a", -1)}, []string{"put a"}, nil},
		"a failure waits for its reason":       {[]*bpf.Record{failed(7, "a"), served(8, put, "b", -1), reason(7, 5)}, []string{"put b", "put a failed 5 true why"}, nil},
		"a reason before the end says nothing": {[]*bpf.Record{reason(7, 9), failed(7, "a"), reason(7, 5), reason(7, 6)}, []string{"put a failed 5 true why"}, nil},
		"a reason of another goroutine":        {[]*bpf.Record{failed(7, "a"), reason(8, 5)}, nil, []string{"put a failed 0 false "}},
		"the next request ends the one before": {[]*bpf.Record{failed(7, "a"), served(7, put, "b", -1)}, []string{"put a failed 0 false ", "put b"}, nil},
		"a transaction waits for its parts": {
			[]*bpf.Record{served(7, txn, "", 2), part(7, "x"), part(8, "z"), served(8, put, "b", -1), part(7, "y")},
			[]string{"put b", "txn  put:x put:y"},
			nil,
		},
		"a transaction of nothing":            {[]*bpf.Record{served(7, txn, "", 0)}, []string{"txn "}, nil},
		"a part that was lost is waited for":  {[]*bpf.Record{served(7, txn, "", 2), part(7, "x")}, nil, []string{"txn  put:x"}},
		"a part without its request is alone": {[]*bpf.Record{part(7, "x")}, nil, nil},
	} {
		a := newTold()
		for _, r := range tc.records {
			a.take(r, now)
			for i := range r.Key {
				r.Key[i] = '!' // the ring is used again
			}
		}
		limit := patience
		if len(tc.late) > 0 && strings.HasPrefix(tc.late[0], "txn") {
			limit = innerPatience
		}
		a.sweep(now.Add(limit))
		assert.Equal(t, tc.want, a.lines, name)
		a.sweep(now.Add(limit + 1))
		assert.Equal(t, append(tc.want, tc.late...), a.lines, name)
		assert.Empty(t, a.waiting, name)
	}
}

func TestBuildsWithoutGoroutinesAreJoinedByThread(t *testing.T) {
	a := newTold()
	a.take(&bpf.Record{Kind: bpf.KindRequest, PID: 1, TID: 11, Operation: codeOf(t, "put"), Failed: true}, time.Now())
	a.take(&bpf.Record{Kind: bpf.KindFailure, PID: 1, TID: 12, Code: 9}, time.Now())
	assert.Empty(t, a.lines)
	a.take(&bpf.Record{Kind: bpf.KindFailure, PID: 1, TID: 11, Code: 5}, time.Now())
	assert.Equal(t, []string{"put  failed 5 true "}, a.lines)
}

func TestTheClockOfAProcessIsFoundFromOneRequest(t *testing.T) {
	ahead := wallAhead()
	before := monotonic()
	now := time.Now() // as etcd takes the start of a request
	after := monotonic()
	wall, ext := internals(now)
	nano, ok := startNano(wall, ext, ahead)
	assert.True(t, ok)
	start := nano + int64(ext)
	assert.GreaterOrEqual(t, start, before-int64(50*time.Microsecond))
	assert.LessOrEqual(t, start, after+int64(50*time.Microsecond))
	assert.Equal(t, now.UnixNano(), unixNano(wall))

	_, ok = startNano(wall&^hasMonotonic, ext, ahead)
	assert.False(t, ok, "a time without a monotonic reading tells nothing")
}
