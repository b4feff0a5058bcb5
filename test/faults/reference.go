// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Reference reads a history with etcd's own client library, on its own connections: the second opinion on what was
// written. It keeps up with the load, so that a compaction takes nothing from it.
type Reference struct {
	dial   func() (*clientv3.Client, error)
	cancel context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	seen     []Change
	last     int64 // revision
	grown    chan struct{}
	problems []string
}

// StartReference reads from a revision on, until Stop. dial gives a new client whenever a watch has broken: a token that
// has expired stays with its client.
func StartReference(dial func() (*clientv3.Client, error), from int64) *Reference {
	ctx, cancel := context.WithCancel(context.Background())
	r := &Reference{dial: dial, cancel: cancel, done: make(chan struct{}), last: from - 1, grown: make(chan struct{})}
	go r.run(ctx) // ends with ctx
	return r
}

func (r *Reference) run(ctx context.Context) {
	defer close(r.done)
	for ctx.Err() == nil {
		if err := r.watch(ctx); err != nil {
			r.mu.Lock()
			r.problems = append(r.problems, fmt.Sprintf("the independent reader: %v", err))
			r.mu.Unlock()
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// watch reads until the watch breaks. An error is final.
func (r *Reference) watch(ctx context.Context) error {
	client, err := r.dial()
	if err != nil {
		return nil // no member answers; later
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	for answer := range client.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithRev(r.last+1)) {
		if answer.CompactRevision != 0 {
			return fmt.Errorf("revision %d was compacted before it was read", r.last+1)
		}
		if answer.Err() != nil {
			return nil
		}
		r.take(answer.Events)
	}
	return nil
}

func (r *Reference) take(events []*clientv3.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ev := range events {
		c := Change{Revision: ev.Kv.ModRevision, Key: string(ev.Kv.Key)}
		if n := len(r.seen); n > 0 && r.seen[n-1].Revision == c.Revision {
			c.Sub = r.seen[n-1].Sub + 1
		}
		if ev.Type == clientv3.EventTypePut {
			c.New = &KeyState{ev.Kv.Value, ev.Kv.CreateRevision, ev.Kv.ModRevision, ev.Kv.Version, ev.Kv.Lease}
		}
		if p := ev.PrevKv; p != nil {
			c.Prev = &KeyState{p.Value, p.CreateRevision, p.ModRevision, p.Version, p.Lease}
		}
		r.seen = append(r.seen, c)
		r.last = c.Revision
	}
	close(r.grown)
	r.grown = make(chan struct{})
}

// Wait returns when the changes of a revision have been read.
func (r *Reference) Wait(ctx context.Context, revision int64) error {
	for {
		r.mu.Lock()
		last, grown := r.last, r.grown
		r.mu.Unlock()
		if last >= revision {
			return nil
		}
		select {
		case <-grown:
		case <-r.done:
			return fmt.Errorf("the independent reader ended at revision %d, before %d: %v", last, revision, r.problems)
		case <-ctx.Done():
			return fmt.Errorf("the independent reader is at revision %d, waited for %d: %w", last, revision, ctx.Err())
		}
	}
}

// Stop ends the reading and gives what was read.
func (r *Reference) Stop() (seen []Change, problems []string) {
	r.cancel()
	<-r.done
	return r.seen, r.problems
}
