// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/join"
)

func TestSizesAreOfTheValuesAndCountsThatARequestHas(t *testing.T) {
	s := newSizes()
	observe := func(name string, value, count int64, inner ...int64) {
		q := &request{Record: bpf.Record{Operation: codeOf(t, name), ValueLen: value, Count: count}}
		for _, size := range inner {
			q.inner = append(q.inner, bpf.Record{ValueLen: size})
		}
		s.observe(q, byCode(q.Operation))
	}
	observe("put", 0, bpf.Unknown)
	observe("put", 64, bpf.Unknown)
	observe("put", 65, bpf.Unknown)
	observe("put", 100<<20, bpf.Unknown)
	observe("txn", bpf.Unknown, 3, 10, bpf.Unknown, 100)
	observe("delete_range", bpf.Unknown, 0)
	observe("range", bpf.Unknown, 1<<20)
	observe("lease_leases", bpf.Unknown, 7)

	put, txn := s.values[codeOf(t, "put")], s.values[codeOf(t, "txn")]
	assert.Len(t, s.values, 2)
	assert.Equal(t, []uint64{2, 1, 0, 0, 0, 0, 0, 0, 0, 1}, put.counts)
	assert.Equal(t, float64(64+65+100<<20), put.sum)
	assert.Equal(t, []uint64{1, 1, 0, 0, 0, 0, 0, 0, 0, 0}, txn.counts)
	assert.Len(t, s.counts, 2, "keys, not leases or operations of a transaction")
	assert.Equal(t, []uint64{1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, s.counts[codeOf(t, "delete_range")].counts)
	assert.Equal(t, []uint64{0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, s.counts[codeOf(t, "range")].counts)
}

// What is measured of a part only would be taken for the whole.
func TestSizesAreOfOperationsOfWhichAllRequestsLeaveTheKernel(t *testing.T) {
	for name, tc := range map[string]struct {
		settings Settings
		window   *join.Window // to name the authors of changes takes all writes
		want     map[string]bool
	}{
		"none":              {Settings{Mode: ModeNone}, nil, map[string]bool{}},
		"slow":              {Settings{Mode: ModeSlow}, nil, map[string]bool{}},
		"writes":            {Settings{Mode: ModeWrites}, nil, map[string]bool{"put": true, "delete_range": true}},
		"sample":            {Settings{Mode: ModeAll, Sample: 0.5}, nil, map[string]bool{"put": true, "delete_range": true}},
		"all":               {Settings{Mode: ModeAll, Sample: 1}, nil, map[string]bool{"put": true, "delete_range": true, "range": true}},
		"none, and authors": {Settings{Mode: ModeNone}, join.NewWindow(), map[string]bool{"put": true, "delete_range": true}},
		"puts":              {Settings{Mode: ModeAll, Sample: 1, Operations: []string{"put"}}, nil, map[string]bool{"put": true}},
	} {
		t.Run(name, func(t *testing.T) {
			tracer := newMeasuring(tc.settings)
			tracer.Window = tc.window
			p, got := &process{}, map[string]bool{}
			for _, of := range []string{"put", "delete_range", "range"} {
				q := &request{Record: bpf.Record{Operation: codeOf(t, of), ValueLen: bpf.Unknown, Count: 1}}
				if of == "put" {
					q.ValueLen = 1
				}
				tracer.measure(p, q, now)
				q.failed = true
				tracer.measure(p, q, now)
			}
			m := tracer.meter(p)
			for _, of := range []perOperation{m.sizes.values, m.sizes.counts} {
				for code, h := range of {
					got[nameOf(code)] = true
					assert.EqualValues(t, 1, total(h.counts), "only what succeeded")
				}
			}
			assert.Equal(t, tc.want, got)
		})
	}
}
