// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
)

// patience is how long these tests wait for something that must happen; the machine
// may be busy.
const patience = time.Minute

// waitFor polls until done.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for began := time.Now(); !done(); time.Sleep(10 * time.Millisecond) {
		require.Less(t, time.Since(began), patience, "waited in vain for: %s", what)
	}
}

// testContext is for one or a few calls.
func testContext(t *testing.T) context.Context {
	t.Helper()
	return contextFor(t, patience)
}

func contextFor(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

func newClient(t *testing.T, cluster *localcluster.Cluster, opts ...func(*clientv3.Config)) *clientv3.Client {
	t.Helper()
	client, err := cluster.Client(opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}

// hexID is an id as etcdctl prints it.
func hexID(id uint64) string { return fmt.Sprintf("%016x", id) }
