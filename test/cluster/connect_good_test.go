// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// connectWorks checks that changes and metrics arrive and nothing was complained
// about.
func connectWorks(t *testing.T, r *harness.Receiver, client *clientv3.Client) {
	t.Helper()
	watchArrived(t, r, watchPut(t, client, "/works", ""), "/works")
	waitFor(t, "metrics arrive", func() bool { return len(r.Metrics()) > 1 })
	assert.Empty(t, r.Status())
	assert.Empty(t, connectLog(r))
	assert.Zero(t, watchCounter(t, r, "receiver_etcd_scrape_errors", "", ""))
}

func TestConnectWithTLSAndAClientCertificate(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		c := harness.Start(t, version, localcluster.Config{TLS: true})
		files := c.TLS()
		settings := fmt.Sprintf("tls: {ca_file: %s, cert_file: %s, key_file: %s}", files.CAFile, files.CertFile, files.KeyFile)
		for name, endpoint := range map[string]string{
			"by its scheme": c.Endpoints()[0], "by the tls settings": strings.TrimPrefix(c.Endpoints()[0], "https://"),
		} {
			t.Run(name, func(t *testing.T) {
				connectWorks(t, watchRun(t, watchYAML([]string{endpoint}, settings), 1, nil), newClient(t, c))
			})
		}
	})
}

func TestConnectThroughAUnixSocket(t *testing.T) {
	c := harness.Start(t, "3.6", localcluster.Config{})
	path := filepath.Join(t.TempDir(), "etcd.sock")
	watchStartProxy(t, "unix", path, strings.TrimPrefix(c.Endpoints()[0], "http://"))
	r := watchRun(t, watchYAML([]string{"unix://" + path}), 1, nil)
	connectWorks(t, r, newClient(t, c))
	addresses := map[any]bool{}
	for _, rm := range r.Metrics()[1].Metrics.ResourceMetrics().All() {
		if address, ok := rm.Resource().Attributes().Get("server.address"); ok {
			addresses[address.AsRaw()] = true
		}
	}
	assert.Equal(t, map[any]bool{path: true}, addresses, "one member, asked at the socket")
}

func TestConnectToAClusterThatComesUpLater(t *testing.T) {
	c := harness.Start(t, "3.6", localcluster.Config{})
	require.NoError(t, c.Members()[0].Kill())
	r := harness.Run(t, watchYAML(c.Endpoints()))
	connectFails(t, r, c.Endpoints()[0], "connection refused", "check endpoints, and that etcd runs")
	require.NoError(t, c.Members()[0].Restart(testContext(t)))
	connectRecovers(t, r)
	watchArrived(t, r, watchPut(t, newClient(t, c), "/works", ""), "/works")
}

func TestConnectOfTheDefaultConfigurationFindsAnEtcdByItsProcess(t *testing.T) {
	harness.Start(t, "3.6", localcluster.Config{})
	r := harness.Run(t, "{}")
	waitFor(t, "it says which etcd it uses", func() bool { return r.Log.FilterMessage("using etcd").Len() > 0 })
	assert.Contains(t, r.Log.FilterMessage("using etcd").All()[0].ContextMap()["why"], "from pid ")
}

// addUser adds a user who may read one prefix, by a role of the same name.
func addUser(t *testing.T, root *clientv3.Client, name, password, prefix string) {
	t.Helper()
	ctx := testContext(t)
	_, err := root.UserAdd(ctx, name, password)
	require.NoError(t, err)
	_, err = root.RoleAdd(ctx, name)
	require.NoError(t, err)
	_, err = root.UserGrantRole(ctx, name, name)
	require.NoError(t, err)
	grantRead(t, root, name, prefix)
}

func grantRead(t *testing.T, root *clientv3.Client, role, prefix string) {
	t.Helper()
	key, end := prefix, clientv3.GetPrefixRangeEnd(prefix)
	if prefix == "" {
		key, end = "\x00", "\x00" // all keys, as etcdctl writes --prefix=true ''
	}
	_, err := root.RoleGrantPermission(testContext(t), role, key, end, clientv3.PermissionType(clientv3.PermRead))
	require.NoError(t, err)
}

func connectAuthCluster(t *testing.T, version string, args ...string) (*localcluster.Cluster, *clientv3.Client) {
	t.Helper()
	c := harness.Start(t, version, localcluster.Config{ExtraArgs: args})
	require.NoError(t, c.EnableAuth(testContext(t), "root's password"))
	return c, newClient(t, c)
}

func TestConnectGoesOnWhenItsTokenExpires(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		t.Parallel() // it mostly waits
		c, root := connectAuthCluster(t, version, "--auth-token-ttl=1")
		addUser(t, root, "otel", "secret", "")
		// A token lives longer if it is used, hence the long interval.
		r := watchRun(t, watchYAML(c.Endpoints(), "username: otel", "password: secret", "collection_interval: 2500ms", "timeout: 5s"), 1, nil)
		waitFor(t, "the second collection after the expiry", func() bool { return len(r.Metrics()) >= 3 })
		root = newClient(t, c) // clientv3 cannot renew a token on etcd 3.4.23
		watchArrived(t, r, watchPut(t, root, "/after-expiry", ""), "/after-expiry")
		assert.Zero(t, watchCounter(t, r, "receiver_etcd_scrape_errors", "", ""))

		require.NoError(t, c.Members()[0].Kill()) // forgets all tokens
		require.NoError(t, c.Members()[0].Restart(testContext(t)))
		watchOpened(t, r, 2)
		watchArrived(t, r, watchPut(t, newClient(t, c), "/after-restart", ""), "/after-restart")
		batches := len(r.Metrics())
		waitFor(t, "a collection after the restart", func() bool { return len(r.Metrics()) > batches+1 })
		failed := watchCounter(t, r, "receiver_etcd_scrape_errors", "", "") // while it was down
		waitFor(t, "further collections", func() bool { return len(r.Metrics()) > batches+2 })
		assert.Equal(t, failed, watchCounter(t, r, "receiver_etcd_scrape_errors", "", ""))
		assert.Empty(t, watchNamed(r, "etcd.watch.gap"))
		for _, code := range []string{"Unauthenticated", "InvalidArgument", "PermissionDenied"} {
			assert.Zero(t, watchCounter(t, r, "receiver_etcd_scrape_errors", "error.type", code), code)
		}
	})
}

func TestConnectAsNobodyIsToldWithItsRemedy(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		c, root := connectAuthCluster(t, version)
		addUser(t, root, "otel", "secret", "")
		t.Run("a wrong password", func(t *testing.T) {
			t.Parallel()
			r := harness.Run(t, watchYAML(c.Endpoints(), "username: otel", "password: guessed"))
			connectRefused(t, r)
			assert.Equal(t, 2, strings.Count(connectLog(r), `check username "otel" and password`), "once for each road:\n%s", connectLog(r))
			assert.NotContains(t, connectLog(r), "guessed")
		})
		t.Run("no user", func(t *testing.T) {
			t.Parallel()
			r := harness.Run(t, watchYAML(c.Endpoints()))
			connectRefused(t, r)
			assert.Contains(t, connectLog(r), "auth is on: set username and password")
			assert.Equal(t, 1, r.Log.FilterMessageSnippet("the watch ended").Len(), connectLog(r))
		})
		t.Run("a user that does not exist", func(t *testing.T) {
			t.Parallel()
			r := harness.Run(t, watchYAML(c.Endpoints(), "username: nobody", "password: x"))
			connectRefused(t, r)
			assert.Contains(t, connectLog(r), `check username "nobody" and password`)
		})
	})
}

// connectRefused waits for several attempts of a user who is refused.
func connectRefused(t *testing.T, r *harness.Receiver) {
	t.Helper()
	waitFor(t, "it has tried several times", func() bool {
		return watchCounter(t, r, "receiver_etcd_watch_restarts", "", "") >= connectAttempts
	})
	connectOneStatus(t, r, "")
}

func TestConnectWithoutThePermissionForAPrefixStartsByItselfAfterTheGrant(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		t.Parallel() // it mostly waits
		c, root := connectAuthCluster(t, version)
		addUser(t, root, "otel", "secret", "/granted/")
		r := watchRun(t, watchYAML(c.Endpoints(), "username: otel", "password: secret", "timeout: 5s", "watch: {prefixes: [/granted/, /later/]}"), 1, nil)
		watchArrived(t, r, watchPut(t, root, "/granted/1", ""), "/granted/1")
		waitFor(t, "the other prefix was tried several times", func() bool {
			return watchCounter(t, r, "receiver_etcd_watch_restarts", "", "") >= 3
		})
		lines := r.Log.FilterMessageSnippet("the watch ended").All()
		require.Len(t, lines, 1, connectLog(r))
		assert.Equal(t, "/later/", lines[0].ContextMap()["prefix"])
		for _, want := range []string{"permission denied", "grant the user a role that reads", "otel"} {
			assert.Contains(t, lines[0].ContextMap()["error"], want)
		}
		connectOneStatus(t, r, "permission denied")

		grantRead(t, root, "otel", "/later/")
		watchOpened(t, r, 2)
		watchArrived(t, r, watchPut(t, root, "/later/1", ""), "/later/1")
		connectWell(t, r)
	})
}
