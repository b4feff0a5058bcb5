// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
)

const (
	// writeInterval is slow enough to read along.
	writeInterval = 200 * time.Millisecond
	// writeTimeout bounds one write. An election takes one to two seconds.
	writeTimeout = 3 * time.Second
	// sessionSeconds is the life of a session's lease: short, so that expiries show soon.
	sessionSeconds = 3
)

// workload writes changes one after the other and enters each confirmed one in the ledger. Not safe for concurrent use.
type workload struct {
	cli    *clientv3.Client
	ledger *ledger
	failed int // writes without a confirmation: refused or unknown
}

func newWorkload(cluster *localcluster.Cluster, l *ledger) (*workload, error) {
	cli, err := cluster.Client()
	if err != nil {
		return nil, fmt.Errorf("start workload: %w", err)
	}
	return &workload{cli: cli, ledger: l}, nil
}

func (w *workload) close() { _ = w.cli.Close() }

// run writes until ctx ends.
func (w *workload) run(ctx context.Context) {
	tick := time.NewTicker(writeInterval)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		w.confirm(ctx, func(ctx context.Context) error { return w.write(ctx, n) })
	}
}

// probe writes a key whose only purpose is to arrive.
func (w *workload) probe(ctx context.Context, key string) {
	w.confirm(ctx, func(ctx context.Context) error {
		return w.put(ctx, key, time.Now().Format(time.RFC3339Nano))
	})
}

// confirm runs one write to its end even if ctx ends meanwhile: a write that is broken off may or may not happen.
func (w *workload) confirm(ctx context.Context, write func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	if write(ctx) != nil {
		w.failed++
	}
}

// write makes change number n: a round of ten through all kinds of changes.
func (w *workload) write(ctx context.Context, n int) error {
	round := n / 10
	switch n % 10 {
	case 0:
		return w.put(ctx, "/config/db/host", fmt.Sprintf("db-%d.internal", round%4))
	case 1, 2:
		return w.put(ctx, fmt.Sprintf("/services/web/%d", round%3), fmt.Sprintf("10.0.0.%d:8080", 10+n%100))
	case 3:
		return w.session(ctx, fmt.Sprintf("/sessions/user-%d", round))
	case 4:
		return w.transaction(ctx, "/config/cache/size", "/config/cache/ttl")
	case 5:
		return w.put(ctx, "/locks/deploy", "deploy-bot")
	case 6:
		return w.put(ctx, "/config/db/password", fmt.Sprintf("hunter%d", round))
	case 7:
		return w.delete(ctx, "/locks/deploy")
	case 8:
		return w.put(ctx, fmt.Sprintf("/jobs/%d/state", round), "done")
	default:
		return w.delete(ctx, fmt.Sprintf("/services/web/%d", round%3))
	}
}

func (w *workload) put(ctx context.Context, key, value string, opts ...clientv3.OpOption) error {
	resp, err := w.cli.Put(ctx, key, value, opts...)
	if err != nil {
		return err
	}
	w.ledger.wrote(change{opPut, key, resp.Header.Revision})
	return nil
}

// delete writes nothing if the key is not there.
func (w *workload) delete(ctx context.Context, key string) error {
	resp, err := w.cli.Delete(ctx, key)
	if err != nil {
		return err
	}
	if resp.Deleted > 0 {
		w.ledger.wrote(change{opDelete, key, resp.Header.Revision})
	}
	return nil
}

// session writes a key that etcd deletes when its lease expires. The ledger learns of that delete only by its arrival,
// but a missing one is a missing revision.
func (w *workload) session(ctx context.Context, key string) error {
	lease, err := w.cli.Grant(ctx, sessionSeconds)
	if err != nil {
		return err
	}
	return w.put(ctx, key, "logged in", clientv3.WithLease(lease.ID))
}

// transaction writes all keys in one revision.
func (w *workload) transaction(ctx context.Context, keys ...string) error {
	var puts []clientv3.Op
	for _, key := range keys {
		puts = append(puts, clientv3.OpPut(key, time.Now().Format(time.TimeOnly)))
	}
	resp, err := w.cli.Txn(ctx).Then(puts...).Commit()
	if err != nil {
		return err
	}
	for _, key := range keys {
		w.ledger.wrote(change{opPut, key, resp.Header.Revision})
	}
	return nil
}
