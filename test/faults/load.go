// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// writeTimeout bounds one request, so that a frozen member does not stop a writer for long.
const writeTimeout = 2 * time.Second

// bigValue is the size of a big value. etcd refuses requests above 1.5 MiB.
const bigValue = 1 << 20

// LoadConfig says how to write.
type LoadConfig struct {
	Writers   int     // 0 is 4
	Rate      float64 // writes a second, of all writers; 0 is 150
	MaxTxnOps int     // operations of the largest transaction; 0 is 128, what etcd allows by default
	BigEvery  int     // each how-many-th write is a big value; 0 is none
	Seed      uint64
}

// Load writes until it is stopped, and notes each write with its answer.
type Load struct {
	cfg    LoadConfig
	client *clientv3.Client
	leases *Leases
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu       sync.Mutex
	writes   []Write
	failed   int
	problems []string
}

// Leases are the ids of all leases that were granted. A restore from a backup revives those that were in it.
type Leases struct {
	mu  sync.Mutex
	ids map[int64]bool
}

func (l *Leases) add(id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ids == nil {
		l.ids = map[int64]bool{}
	}
	l.ids[id] = true
}

func (l *Leases) all() map[int64]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[int64]bool{}
	for id := range l.ids {
		out[id] = true
	}
	return out
}

// StartLoad starts the writers. They use the client until Stop.
func StartLoad(client *clientv3.Client, leases *Leases, cfg LoadConfig) *Load {
	if cfg.Writers == 0 {
		cfg.Writers = 4
	}
	if cfg.Rate == 0 {
		cfg.Rate = 150
	}
	if cfg.MaxTxnOps == 0 {
		cfg.MaxTxnOps = 128
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &Load{cfg: cfg, client: client, leases: leases, cancel: cancel}
	for n := range cfg.Writers {
		w := &writer{Load: l, number: n, rng: rand.New(rand.NewPCG(cfg.Seed, uint64(n)))}
		l.done.Go(func() { w.run(ctx) }) // ends with ctx
	}
	return l
}

// Stop ends the writers. A write that is under way is finished, not cut off.
func (l *Load) Stop() {
	l.cancel()
	l.done.Wait()
}

// Counts tells how many writes were answered and how many were not.
func (l *Load) Counts() (answered, failed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.writes) - l.failed, l.failed
}

// Writes gives all writes so far, and what makes them worthless as a truth.
func (l *Load) Writes() ([]Write, []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Write(nil), l.writes...), append([]string(nil), l.problems...)
}

// Put writes keys, all in one revision, until that is answered, and gives the revision.
func (l *Load) Put(ctx context.Context, keys ...string) (int64, error) {
	for attempt := 0; ; attempt++ {
		var ops []Op
		for _, key := range keys {
			ops = append(ops, Op{Key: key, Value: fmt.Appendf(nil, "attempt %d", attempt)})
		}
		if revision := l.write(ops); revision != 0 {
			return revision, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("put %q: %w", keys, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// write sends one write, as a transaction if it has several operations, and gives the revision of the answer, 0 if
// there was none.
func (l *Load) write(ops []Op) int64 {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	var requests []clientv3.Op
	for _, op := range ops {
		requests = append(requests, op.request())
	}
	request := requests[0]
	if len(requests) > 1 {
		request = clientv3.OpTxn(nil, requests, nil)
	}
	answer, err := l.client.Do(ctx, request)

	l.mu.Lock()
	defer l.mu.Unlock()
	w := Write{Ops: ops}
	if err == nil {
		w.Revision, w.Deleted = answered(answer)
	} else {
		l.failed++
		if isOurFault(err) {
			l.problems = append(l.problems, fmt.Sprintf("etcd refused a write: %v", err))
		}
	}
	l.writes = append(l.writes, w)
	return w.Revision
}

// isOurFault tells refusals that no fault of the cluster can cause.
func isOurFault(err error) bool {
	var coded interface{ Code() codes.Code } // of clientv3
	code := status.Code(err)
	if errors.As(err, &coded) {
		code = coded.Code()
	}
	return code == codes.InvalidArgument && !strings.Contains(err.Error(), "auth")
}

func (o *Op) request() clientv3.Op {
	switch {
	case o.Delete && o.End != "":
		return clientv3.OpDelete(o.Key, clientv3.WithRange(o.End))
	case o.Delete:
		return clientv3.OpDelete(o.Key)
	case o.Lease != 0:
		return clientv3.OpPut(o.Key, string(o.Value), clientv3.WithLease(clientv3.LeaseID(o.Lease)))
	}
	return clientv3.OpPut(o.Key, string(o.Value))
}

func answered(r clientv3.OpResponse) (revision int64, deleted int) {
	switch {
	case r.Put() != nil:
		return r.Put().Header.Revision, 0
	case r.Del() != nil:
		return r.Del().Header.Revision, int(r.Del().Deleted)
	}
	for _, each := range r.Txn().Responses {
		deleted += int(each.GetResponseDeleteRange().GetDeleted())
	}
	return r.Txn().Header.Revision, deleted
}
