// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// What an open watch is asked for every minute.
func TestWatchLearnsFromEtcdWhetherItsUserMayReadARange(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		c := harness.Start(t, version, localcluster.Config{})
		client := newClient(t, c)
		ctx := testContext(t)
		addUser(t, client, "otel", "secret", "/a/")
		before := watchPut(t, client, "/a/key", "")
		require.NoError(t, c.EnableAuth(ctx, "root"))

		endpoint, err := etcdclient.ParseEndpoint(c.Endpoints()[0])
		require.NoError(t, err)
		settings := etcdclient.Settings{Endpoints: []etcdclient.Endpoint{endpoint}, Username: "otel", Password: "secret", Timeout: 5 * time.Second}
		cluster := etcdclient.NewCluster(settings, false)
		t.Cleanup(func() { require.NoError(t, cluster.Close()) })
		_, err = cluster.Resolve(ctx)
		require.NoError(t, err)
		conn, err := cluster.Next()
		require.NoError(t, err)

		require.NoError(t, conn.MayRead(ctx, []byte("/a/"), []byte("/a0")))
		assert.True(t, etcdclient.IsDenied(conn.MayRead(ctx, []byte("/a/"), []byte("/b"))))
		assert.True(t, etcdclient.IsDenied(conn.MayRead(ctx, []byte{0}, []byte{0})))
		revision, err := conn.Revision(ctx, []byte("/a/"))
		require.NoError(t, err)
		assert.Equal(t, before, revision, "the question writes nothing")

		root := newClient(t, c, func(config *clientv3.Config) { config.Username, config.Password = "root", "root" })
		_, err = root.UserRevokeRole(ctx, "otel", "otel")
		require.NoError(t, err)
		assert.True(t, etcdclient.IsDenied(conn.MayRead(ctx, []byte("/a/"), []byte("/a0"))))
	})
}
