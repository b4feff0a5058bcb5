// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package throughput

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
)

// counter is the end of a contender's pipeline. It wants the changes of all
// revisions from first to last and counts them; what comes after is not looked at.
// Its own cost is next to nothing.
type counter struct {
	first, last int64
	want        int

	mu   sync.Mutex
	got  int
	err  error
	done chan struct{} // closed when all are there, or err is set
}

func newCounter(first, last int64, want int) *counter {
	return &counter{first: first, last: last, want: want, done: make(chan struct{})}
}

func (c *counter) consume(_ context.Context, logs plog.Logs) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rl := range logs.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			c.count(sl.LogRecords())
		}
	}
	return nil
}

func (c *counter) count(records plog.LogRecordSlice) {
	if c.got >= c.want || c.err != nil || records.Len() == 0 {
		return
	}
	if c.got == 0 {
		c.check(records.At(0), c.first)
	}
	if left := c.want - c.got; left <= records.Len() {
		c.check(records.At(left-1), c.last)
	}
	c.got += records.Len()
	if c.got >= c.want || c.err != nil {
		close(c.done)
	}
}

// check: watches deliver in order, so the records are all there if both ends and
// the count are right.
func (c *counter) check(lr plog.LogRecord, want int64) {
	revision, ok := lr.Attributes().Get("etcd.kv.mod_revision")
	if (!ok || revision.Int() != want) && c.err == nil {
		c.err = fmt.Errorf("a change of revision %d is missing or double: %q came in its place", want, lr.Body().AsString())
	}
}

// wait returns when all changes have come.
func (c *counter) wait(tb testing.TB, patience time.Duration) {
	tb.Helper()
	select {
	case <-c.done:
	case <-time.After(patience):
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		tb.Fatal(c.err)
	case c.got < c.want:
		tb.Fatalf("%d of %d changes came within %s", c.got, c.want, patience)
	}
}
