// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package etcdclient

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.opentelemetry.io/collector/config/configtls"
	"google.golang.org/grpc"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
)

type statusServer struct {
	pb.UnimplementedMaintenanceServer
}

func (*statusServer) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	return &pb.StatusResponse{}, nil
}

// rotating is a member whose certificate can be replaced.
type rotating struct {
	*httptest.Server
	config atomic.Pointer[tls.Config]
}

func startRotating(t *testing.T) *rotating {
	t.Helper()
	server := grpc.NewServer()
	pb.RegisterMaintenanceServer(server, &statusServer{})
	mux := http.NewServeMux()
	mux.Handle("/", server)
	mux.HandleFunc("/metrics", func(http.ResponseWriter, *http.Request) {})
	r := &rotating{Server: httptest.NewUnstartedServer(mux)}
	r.EnableHTTP2 = true
	r.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return r.config.Load(), nil }}
	r.StartTLS()
	t.Cleanup(func() { server.Stop(); r.Close() })
	return r
}

// rotate gives the member a certificate of a new authority, and gives that.
func (r *rotating) rotate(t *testing.T) (authority []byte) {
	t.Helper()
	files, err := localcluster.NewTLS(t.TempDir())
	require.NoError(t, err)
	pair, err := tls.LoadX509KeyPair(files.ServerCertFile, files.ServerKeyFile)
	require.NoError(t, err)
	r.config.Store(&tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}})
	r.CloseClientConnections()
	authority, err = os.ReadFile(files.CAFile)
	require.NoError(t, err)
	return authority
}

func TestAConnectionThatIsHeldTrustsTheAuthoritiesThatWereReadLast(t *testing.T) {
	member := startRotating(t)
	settings := configtls.NewDefaultClientConfig()
	settings.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	trust := func(authorities ...[]byte) {
		require.NoError(t, os.WriteFile(settings.CAFile, slices.Concat(authorities...), 0o600))
	}
	before := member.rotate(t)
	trust(before)
	c := NewCluster(Settings{Endpoints: []Endpoint{endpoint(t, member.URL)}, TLS: &settings, Timeout: 5 * time.Second}, false)
	defer c.Close()
	resolve := func() {
		t.Helper()
		_, err := c.Resolve(t.Context())
		require.NoError(t, err)
	}
	resolve()
	conn := c.Seeds()[0]
	works := func() {
		t.Helper()
		_, err := conn.Status(t.Context())
		require.NoError(t, err)
		body, err := conn.Metrics(t.Context())
		require.NoError(t, err)
		require.NoError(t, body.Close())
		dialed, end, err := conn.Dial(t.Context())
		require.NoError(t, err)
		defer end()
		_, err = pb.NewMaintenanceClient(dialed).Status(t.Context(), &pb.StatusRequest{})
		require.NoError(t, err)
	}
	works()
	client := conn.client
	resolve()
	works()
	assert.Same(t, client, conn.client, "nothing has changed")

	now := member.rotate(t)
	require.Eventually(t, func() bool {
		_, status := conn.Status(t.Context())
		_, metrics := conn.Metrics(t.Context())
		return IsUntrusted(status) && IsUntrusted(metrics)
	}, 10*time.Second, 10*time.Millisecond)
	for _, trusted := range [][][]byte{{before, now}, {now}} {
		trust(trusted...)
		resolve()
		works()
		assert.Same(t, conn, c.Seeds()[0])
	}
	assert.NotSame(t, client, conn.client)
}
