// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package throughput

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// writer writes on a schedule, one request after the other, and notes how long
// each took since it was due. A request that has to wait because the one before
// was slow has taken longer: so a stall counts for all that it delays.
type writer struct {
	stop func()

	mu    sync.Mutex
	took  []float64 // ms since it was due
	alone []float64 // ms since it was sent
}

// startWriter makes a request every so often; request numbers count from 0.
func startWriter(tb testing.TB, every time.Duration, request func(ctx context.Context, nr int) error) *writer {
	tb.Helper()
	var ended atomic.Bool // between two requests: one that is given up may have happened
	w := &writer{}
	var group sync.WaitGroup
	group.Go(func() { // ends with stop
		due := time.Now()
		for nr := 0; !ended.Load(); nr++ {
			time.Sleep(time.Until(due))
			sent := time.Now()
			if err := request(context.Background(), nr); err != nil {
				tb.Errorf("write: %v", err)
				return
			}
			w.note(due, sent)
			due = due.Add(every)
		}
	})
	w.stop = func() {
		ended.Store(true)
		group.Wait()
	}
	return w
}

func (w *writer) note(due, sent time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.took = append(w.took, float64(time.Since(due).Microseconds())/1000)
	w.alone = append(w.alone, float64(time.Since(sent).Microseconds())/1000)
}

// written is the number of requests so far.
func (w *writer) written() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.took)
}

// latencies of the requests from one to another (ms).
type latencies struct{ p50, p99, longest, p99Alone, longestAlone float64 }

func (w *writer) latencies(from, to int) latencies {
	w.mu.Lock()
	defer w.mu.Unlock()
	took, alone := slices.Sorted(slices.Values(w.took[from:to])), slices.Sorted(slices.Values(w.alone[from:to]))
	return latencies{quantile(took, 0.5), quantile(took, 0.99), quantile(took, 1), quantile(alone, 0.99), quantile(alone, 1)}
}

// manyKeys is how many keys onePut and oneTransaction write again and again.
const manyKeys = 10_000

// onePut writes a single key.
func (s *server) onePut(ctx context.Context, nr int) error {
	_, err := s.client.Put(ctx, key(nr%manyKeys), value)
	return err
}

// oneTransaction writes 100 keys.
func (s *server) oneTransaction(ctx context.Context, nr int) error {
	return s.transaction(ctx, nr*txnPuts%manyKeys)
}
