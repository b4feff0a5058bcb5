// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// keysPerPrefix is small, so that most puts overwrite and writers meet at the same keys.
const keysPerPrefix = 100

var prefixes = []string{"/app/", "/config/db/", "/registry/pods/", "/ü/", "\xff\xfebin/\x00"}

// writer is one goroutine of a Load. All that it writes is decided by its seed, but not at which revision.
type writer struct {
	*Load
	number int
	rng    *rand.Rand
	count  int
}

func (w *writer) run(ctx context.Context) {
	pause := time.Duration(float64(w.cfg.Writers) / w.cfg.Rate * float64(time.Second))
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		w.count++
		if ops := w.next(ctx); len(ops) > 0 {
			w.write(ops)
		}
	}
}

// next decides what to write.
func (w *writer) next(ctx context.Context) []Op {
	if w.cfg.BigEvery > 0 && w.count%w.cfg.BigEvery == 0 {
		return []Op{{Key: w.key(), Value: w.value(bigValue)}}
	}
	switch n := w.rng.IntN(100); {
	case n < 60:
		return []Op{w.put()}
	case n < 70:
		return []Op{{Delete: true, Key: w.key()}}
	case n < 85:
		return w.transaction(1 + w.rng.IntN(10))
	case n < 88:
		return w.transaction(w.cfg.MaxTxnOps)
	case n < 93:
		return w.fill(10 + w.rng.IntN(20))
	case n < 96:
		return []Op{{Delete: true, Key: w.rangePrefix(), End: w.rangePrefix() + "\xff"}}
	default:
		return w.leased(ctx)
	}
}

func (w *writer) key() string { return keyNumber(w.rng.IntN(len(prefixes) * keysPerPrefix)) }

func keyNumber(n int) string {
	return fmt.Sprintf("%s%d", prefixes[n%len(prefixes)], n/len(prefixes))
}

func (w *writer) put() Op { return Op{Key: w.key(), Value: w.value(w.rng.IntN(200))} }

// value is unique, except that it may be empty. One in ten is no UTF-8.
func (w *writer) value(size int) []byte {
	if size == 0 {
		return nil
	}
	v := fmt.Sprintf("%d-%d-%d ", w.cfg.Seed, w.number, w.rng.Uint64())
	v += strings.Repeat("x", max(0, size-len(v)))
	if w.rng.IntN(10) == 0 {
		v = "\xff\xfe\x00" + v
	}
	return []byte(v)
}

// transaction has operations on that many different keys, a few of them deletes.
func (w *writer) transaction(n int) []Op {
	var ops []Op
	total := len(prefixes) * keysPerPrefix
	for _, number := range w.rng.Perm(max(total, n))[:n] { // beyond total, keys that no single put touches
		op := Op{Key: keyNumber(number), Value: w.value(w.rng.IntN(100))}
		if w.rng.IntN(8) == 0 {
			op = Op{Delete: true, Key: op.Key}
		}
		ops = append(ops, op)
	}
	return ops
}

// rangePrefix holds what a range delete removes.
func (w *writer) rangePrefix() string { return fmt.Sprintf("/range/%d/", w.number) }

func (w *writer) fill(n int) []Op {
	var ops []Op
	for i := range n {
		ops = append(ops, Op{Key: fmt.Sprintf("%s%d", w.rangePrefix(), i), Value: w.value(30)})
	}
	return ops
}

// leased puts a few keys that etcd itself deletes soon after.
func (w *writer) leased(ctx context.Context) []Op {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	lease, err := w.client.Grant(ctx, 1)
	if err != nil {
		return nil // nothing was written
	}
	w.leases.add(int64(lease.ID))
	var ops []Op
	for i := range 1 + w.rng.IntN(5) {
		ops = append(ops, Op{Key: fmt.Sprintf("/leased/%d/%d", w.number, i), Value: w.value(20), Lease: int64(lease.ID)})
	}
	return ops
}
