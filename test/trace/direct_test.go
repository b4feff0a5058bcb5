// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// A client of another host is one whose process is not known: here because connections
// are not followed.
func TestARemoteClientThatIsNoAPIServerIsToldWhateverItDoes(t *testing.T) {
	harness.NeedRoot(t)
	cluster := harness.Start(t, "3.6", localcluster.Config{TLS: true})
	m, files := cluster.Members()[0], cluster.TLS()
	run := func(name, remote string) *harness.Receiver {
		r := harness.New(t, fmt.Sprintf(`
endpoints: [%s]
tls: {ca_file: %s, cert_file: %s, key_file: %s}
status: {enabled: false}
watch: {prefixes: [/registry/]%s}
ebpf: {mode: required, disk: {enabled: false}, network: {enabled: false}, events: {mode: none}, processes: {pids: [%d]}}
`, m.ClientURL, files.CAFile, files.CertFile, files.KeyFile, remote, m.PID()), true, false)
		r.Start(t)
		t.Cleanup(func() { r.Stop(t) })
		waitFor(t, name, func() bool {
			return r.Log.FilterMessage("requests of etcd are traced").Len() > 0 && r.Log.FilterMessage("watching").Len() > 0
		})
		return r
	}
	named := run("a receiver that knows the API servers", ", kubernetes_remote_api_servers: [kube-apiserver-etcd-client, 127.0.7.0/24]")
	unnamed := run("a receiver that does not", "")

	as := func(subject, address string) *clientv3.Client {
		config, err := files.ConfigAs(subject)
		require.NoError(t, err)
		from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
		c, err := cluster.Client(func(cfg *clientv3.Config) {
			cfg.TLS = config
			cfg.DialOptions = []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, to string) (net.Conn, error) {
				return from.DialContext(ctx, "tcp", to)
			})}
		})
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	type deed struct{ named, unnamed any } // what the two say of it
	want := map[string]deed{}
	object := func(name string, d deed) (key, value string) {
		key = "/registry/configmaps/shop/" + name
		want[key] = d
		return key, fmt.Sprintf(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":%q,"namespace":"shop"}}`, name)
	}
	commit := func(c *clientv3.Client, name string, d deed) {
		key, value := object(name, d)
		r, err := c.Txn(t.Context()).If(clientv3.Compare(clientv3.ModRevision(key), "=", 0)).Then(clientv3.OpPut(key, value)).Commit()
		require.NoError(t, err)
		require.True(t, r.Succeeded)
	}
	put := func(c *clientv3.Client, name string, d deed) {
		key, value := object(name, d)
		_, err := c.Put(t.Context(), key, value)
		require.NoError(t, err)
	}
	server, friend, stranger := as("kube-apiserver-etcd-client", "127.0.0.31"), as("client", "127.0.7.21"), as("client", "127.0.0.66")
	commit(server, "by-name", deed{nil, nil})
	commit(friend, "by-address", deed{nil, nil})
	commit(stranger, "by-nobody", deed{true, nil})
	commit(as("kube-apiserver-etcd-client-2", "127.0.0.32"), "by-another-name", deed{true, nil})
	for name, c := range map[string]*clientv3.Client{"put-by-name": server, "put-by-address": friend, "put-by-nobody": stranger} {
		put(c, name, deed{true, true})
	}

	for r, of := range map[*harness.Receiver]func(deed) any{
		named: func(d deed) any { return d.named }, unnamed: func(d deed) any { return d.unnamed },
	} {
		waitFor(t, "all changes", func() bool { return len(r.Records()) >= len(want) })
		told := map[string]any{}
		for _, record := range r.Records() {
			require.Equal(t, "etcd.kv.put", record.Name, "%+v", record)
			assert.Equal(t, "request", record.Attrs["etcd.author.source"])
			assert.NotContains(t, record.Attrs, "etcd.client.process.name")
			told[record.Attrs["etcd.key"].(string)] = record.Attrs["etcd.kubernetes.direct"]
		}
		expected := map[string]any{}
		for key, d := range want {
			expected[key] = of(d)
		}
		assert.Equal(t, expected, told)
	}
}
