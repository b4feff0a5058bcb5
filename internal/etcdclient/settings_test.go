// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package etcdclient

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.opentelemetry.io/collector/config/configtls"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func endpoint(t *testing.T, text string) Endpoint {
	t.Helper()
	e, err := ParseEndpoint(text)
	require.NoError(t, err)
	return e
}

func TestTheSchemeDecidesAboutTLSAndTLSSettingsWhereThereIsNone(t *testing.T) {
	some, insecure := configtls.NewDefaultClientConfig(), configtls.NewDefaultClientConfig()
	insecure.Insecure = true
	for name, tc := range map[string]struct {
		endpoint string
		tls      *configtls.ClientConfig
		want     string
		secure   bool
	}{
		"nothing said":                {"a:1", nil, "http://a:1", false},
		"settings without a scheme":   {"a:1", &some, "https://a:1", true},
		"https alone":                 {"https://a:1", nil, "https://a:1", true},
		"https with settings":         {"https://a:1", &some, "https://a:1", true},
		"http":                        {"http://a:1", nil, "http://a:1", false},
		"insecure means plain text":   {"a:1", &insecure, "http://a:1", false},
		"a socket":                    {"unix:///x", nil, "unix:///x", false},
		"a socket with TLS by scheme": {"unixs:///x", nil, "unixs:///x", true},
	} {
		t.Run(name, func(t *testing.T) {
			target, err := Settings{Endpoints: []Endpoint{endpoint(t, tc.endpoint)}, TLS: tc.tls}.Resolve(context.Background())
			require.NoError(t, err)
			assert.Equal(t, tc.want, target.Endpoints[0].String())
			assert.Equal(t, tc.secure, target.TLS != nil)
			assert.Equal(t, "configured", target.Why)
		})
	}
}

func TestABrokenCertificateIsAnErrorThatNamesTheSetting(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(broken, []byte("not PEM"), 0o600))
	settings := configtls.NewDefaultClientConfig()
	settings.CAFile = broken
	_, err := Settings{Endpoints: []Endpoint{endpoint(t, "https://a:1")}, TLS: &settings}.Resolve(context.Background())
	require.Error(t, err)
	assert.Contains(t, err.Error(), `tls with ca_file "`+broken+`"`)
}

func TestTheFirstKnownCertificateThatCanBeReadIsTaken(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		return path
	}
	known := []certificate{
		{"kubeadm", "/absent/ca", "/absent/crt", "/absent/key"},
		{"half", "", file("crt"), "/absent/key"},
		{"k3s", file("ca"), file("crt"), file("key")},
	}
	found, ok := findCertificate(known)
	require.True(t, ok)
	assert.Equal(t, "k3s", found.name)
	settings := found.settings()
	assert.Equal(t, filepath.Join(dir, "ca"), settings.CAFile)
	assert.Equal(t, filepath.Join(dir, "crt"), settings.CertFile)
	assert.Equal(t, filepath.Join(dir, "key"), settings.KeyFile)
	_, ok = findCertificate(known[:2])
	assert.False(t, ok)
}

func TestTheUsersEtcdctlCertificateIsTheLastOfTheKnownOnes(t *testing.T) {
	env := map[string]string{"ETCDCTL_CACERT": "a", "ETCDCTL_CERT": "b", "ETCDCTL_KEY": "c"}
	known := knownCertificates(func(name string) string { return env[name] })
	assert.Equal(t, certificate{"ETCDCTL_*", "a", "b", "c"}, known[len(known)-1])
}

func TestClusterKeepsOneConnectionForEachEndpoint(t *testing.T) {
	c := NewCluster(Settings{Endpoints: []Endpoint{endpoint(t, "a:1"), endpoint(t, "b:1")}, Timeout: time.Second}, true)
	_, err := c.Resolve(context.Background())
	require.NoError(t, err)
	seeds := c.Seeds()
	require.Len(t, seeds, 2)
	assert.Same(t, seeds[0], c.Conn(seeds[0].Endpoint()))
	_, err = c.Resolve(context.Background())
	require.NoError(t, err)
	assert.Same(t, seeds[0], c.Seeds()[0], "resolving again keeps it")
	c.Forget(seeds[0].Endpoint())
	assert.NotSame(t, seeds[0], c.Seeds()[0])

	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
	_, err = seeds[1].Status(context.Background())
	require.ErrorIs(t, err, ErrClosed)
	_, err = c.Conn(seeds[1].Endpoint()).Status(context.Background())
	require.ErrorIs(t, err, ErrClosed, "also for a connection that is asked for later")
	_, err = c.Resolve(context.Background())
	require.ErrorIs(t, err, ErrClosed)
}

func TestStreamsTakeSeedsAndVotersInTurnAndNoLearner(t *testing.T) {
	c := NewCluster(Settings{Endpoints: []Endpoint{endpoint(t, "a:1")}}, true)
	defer c.Close()
	_, err := c.Next()
	require.Error(t, err, "nothing is known yet")
	_, err = c.Resolve(context.Background())
	require.NoError(t, err)
	c.Learn([]*pb.Member{
		{ClientURLs: []string{"http://a:1"}},
		{ClientURLs: []string{"https://b:1", "http://b:1"}}, // the plain one fits the target
		{ClientURLs: []string{"http://c:1"}, IsLearner: true},
		{}, // not started
	})
	var turns []string
	for range 4 {
		conn, err := c.Next()
		require.NoError(t, err)
		turns = append(turns, conn.Endpoint().String())
	}
	assert.Equal(t, []string{"http://a:1", "http://b:1", "http://a:1", "http://b:1"}, turns)
}
