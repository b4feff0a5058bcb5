// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
)

const (
	size     = 3
	keys     = 10_000
	watchers = 50 // of each member
)

// cluster is a real etcd with content, as it is in use; nobody uses it while it
// is measured.
type cluster struct{ *localcluster.Cluster }

func startCluster(b *testing.B) *cluster {
	b.Helper()
	dir := os.Getenv("ETCD_BIN_DIR")
	binary := filepath.Join(dir, "3.6", "etcd")
	if _, err := os.Stat(binary); dir == "" || err != nil {
		if os.Getenv("CI") != "" {
			b.Fatalf("etcd 3.6 is missing at %q, and CI must skip nothing", binary)
		}
		reason := fmt.Sprintf("etcd 3.6 is not at ETCD_BIN_DIR/3.6/etcd (%q): `make .cache/etcd/3.6/etcd` builds it, `make bench` says where it is", binary)
		fmt.Println("SKIPPED:", reason) // without -v nobody would read it
		b.Skip(reason)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	// With fsync: without it etcd has no times of fsync to report.
	c, err := localcluster.Start(ctx, localcluster.Config{Binary: binary, Size: size})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := c.Close(); err != nil {
			b.Error(err)
		}
	})
	for i, m := range c.Members() {
		if err := fill(ctx, b, c, m, i); err != nil {
			b.Fatalf("fill the cluster through %s: %v", m.Name, err)
		}
	}
	x := &cluster{c}
	x.rest(b)
	return x
}

// rest waits until etcd has done what filling it left to do, above all
// compaction: until it did not become calmer for 3 seconds.
func (c *cluster) rest(b *testing.B) {
	b.Helper()
	var calmest time.Duration
	calmAt := time.Now()
	for began := time.Now(); time.Since(began) < time.Minute && time.Since(calmAt) < 3*time.Second; {
		used, _, err := window(time.Second, c.pids())
		if err != nil {
			b.Fatal(err)
		}
		if calmest == 0 || used.etcdCPU < calmest*9/10 {
			calmest, calmAt = used.etcdCPU, time.Now()
		}
	}
}

// fill gives a member watchers, its share of the keys and a history: series of
// /metrics that were never counted are cheaper for all contenders.
func fill(ctx context.Context, b *testing.B, c *localcluster.Cluster, m *localcluster.Member, nr int) error {
	b.Helper()
	client, err := c.Client(func(cfg *clientv3.Config) { cfg.Endpoints = []string{m.ClientURL} })
	if err != nil {
		return err
	}
	b.Cleanup(func() { _ = client.Close() }) // fails with the error of the context of the watchers
	for i := range watchers {
		client.Watch(context.Background(), fmt.Sprintf("/watched/%d/", i), clientv3.WithPrefix())
	}
	const batch = 100 // below --max-txn-ops
	for first := nr * keys / size; first < (nr+1)*keys/size; first += batch {
		var puts []clientv3.Op
		for k := first; k < min(first+batch, (nr+1)*keys/size); k++ {
			puts = append(puts, clientv3.OpPut(fmt.Sprintf("/registry/pods/%05d", k), strings.Repeat("v", 512)))
		}
		if _, err := client.Txn(ctx).Then(puts...).Commit(); err != nil {
			return err
		}
	}
	for i := range 50 {
		if err := useOnce(ctx, client, fmt.Sprintf("/history/%d/%d", nr, i)); err != nil {
			return err
		}
	}
	newest, err := client.Get(ctx, "none")
	if err != nil {
		return err
	}
	_, err = client.Compact(ctx, newest.Header.Revision)
	return err
}

// useOnce makes each of the usual requests once, but for a compaction, which is
// long.
func useOnce(ctx context.Context, client *clientv3.Client, key string) error {
	lease, err := client.Grant(ctx, 600)
	if err != nil {
		return err
	}
	for _, request := range []func() error{
		func() error { _, err := client.Put(ctx, key, "v", clientv3.WithLease(lease.ID)); return err },
		func() error { _, err := client.Get(ctx, key); return err },
		func() error {
			_, err := client.Get(ctx, "/registry/", clientv3.WithPrefix(), clientv3.WithLimit(100))
			return err
		},
		func() error { _, err := client.KeepAliveOnce(ctx, lease.ID); return err },
		func() error { _, err := client.Delete(ctx, key); return err },
		func() error { _, err := client.Revoke(ctx, lease.ID); return err },
		func() error { _, err := client.MemberList(ctx); return err },
		func() error { _, err := client.AlarmList(ctx); return err },
		func() error { _, err := client.Status(ctx, client.Endpoints()[0]); return err },
	} {
		if err := request(); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) pids() []int {
	var out []int
	for _, m := range c.Members() {
		out = append(out, m.PID())
	}
	return out
}
