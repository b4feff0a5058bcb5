// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"context"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
)

// asked is a request as a client has made it, and what its record must say.
type asked struct {
	event     string
	sent, got time.Time
	attrs     map[string]any
	unary     bool
	givenUp   bool     // the client did not wait for the end
	said      []answer // any of them
}

// book has what all callers of a test asked.
type book struct {
	mu  sync.Mutex
	all []*asked
}

func (b *book) note(a *asked) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, a)
}

// caller is one plain gRPC connection to one member: no retries, no request that
// the test did not make. What is asked on it is noted in the book.
type caller struct {
	*grpc.ClientConn
	book  *book // nil: nothing is noted
	user  string
	token string

	mu      sync.Mutex
	address string
	port    int
	subject string
}

// call opens a connection; secure is whether it shows a client certificate.
func call(t *testing.T, cluster *localcluster.Cluster, member *localcluster.Member, b *book) *caller {
	t.Helper()
	u, err := url.Parse(member.ClientURL)
	require.NoError(t, err)
	c := &caller{book: b}
	how := insecure.NewCredentials()
	if cluster.TLS() != nil {
		how, c.subject = credentials.NewTLS(cluster.TLS().Config()), "client"
	}
	c.ClientConn, err = grpc.NewClient("passthrough:///"+u.Host, grpc.WithTransportCredentials(how), grpc.WithContextDialer(c.dial),
		grpc.WithUnaryInterceptor(c.unary), grpc.WithStreamInterceptor(c.stream), grpc.WithDisableRetry())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (c *caller) dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	local := conn.LocalAddr().(*net.TCPAddr)
	c.address, c.port = local.IP.String(), local.Port
	return conn, nil
}

// is who asks on this connection from now on.
func (c *caller) is(t *testing.T, user, password string) {
	t.Helper()
	c.user, c.token = "", ""
	r, err := pb.NewAuthClient(c.ClientConn).Authenticate(t.Context(), &pb.AuthenticateRequest{Name: user, Password: password})
	require.NoError(t, err)
	c.user, c.token = user, r.Token
}

// answer is what etcd says to a request.
type answer struct {
	code    codes.Code
	message string
}

// unseen is of a request that gRPC refuses, so that etcd sees nothing.
var unseen = []answer{}

type answersKey struct{}

// etcdSays tells what etcd may say to the request of this context, where the
// client sees something else.
func etcdSays(ctx context.Context, any []answer) context.Context {
	return context.WithValue(ctx, answersKey{}, any)
}

func (c *caller) authenticated(ctx context.Context) context.Context {
	if c.token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "token", c.token)
}

func (c *caller) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	sent := time.Now()
	err := invoke(c.authenticated(ctx), method, req, reply, cc, opts...)
	got := time.Now()
	if c.book == nil {
		return err
	}
	said, given := ctx.Value(answersKey{}).([]answer)
	if !given {
		s := status.Convert(err)
		said = []answer{{s.Code(), s.Message()}}
		if s.Code() == codes.Unimplemented && strings.HasPrefix(s.Message(), "unknown ") {
			said = unseen // this etcd is older than the method
		}
	}
	if len(said) == 0 {
		return err
	}
	a := &asked{sent: sent, got: got, unary: true, givenUp: given, attrs: c.common(method), said: said}
	if err != nil {
		reply = nil
	}
	describe(a, req, reply)
	c.book.note(a)
	return err
}

func (c *caller) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return open(c.authenticated(ctx), desc, cc, method, opts...)
}

// answer says which of the answers etcd gave: the first, unless the record has
// another one.
func (a *asked) answer(code, message string) {
	if len(a.said) == 0 {
		return
	}
	is := a.said[0]
	for _, other := range a.said {
		if codeName(other.code) == code && other.message == message {
			is = other
		}
	}
	a.attrs["rpc.response.status_code"] = codeName(is.code)
	if is.code != codes.OK {
		a.attrs["error.type"] = codeName(is.code)
		a.text("etcd.request.message", is.message)
	}
}

// streamed notes a request on a stream.
func (c *caller) streamed(family, operation, method string, sent time.Time, attrs map[string]any) {
	a := &asked{event: "etcd.request." + family, sent: sent, got: time.Now(), attrs: c.common("/" + method)}
	a.attrs["db.operation.name"] = operation
	for name, value := range attrs {
		a.attrs[name] = value
	}
	c.book.note(a)
}

// common is what a record says of who asked.
func (c *caller) common(method string) map[string]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	attrs := map[string]any{
		"db.system.name": "etcd", "rpc.method": strings.TrimPrefix(method, "/"),
		"client.address": c.address, "client.port": int64(c.port),
		"etcd.client.process.name": ourName(), "etcd.client.process.pid": int64(os.Getpid()),
	}
	if c.subject != "" {
		attrs["tls.client.subject"] = c.subject
	}
	if c.user != "" {
		attrs["user.name"] = c.user
	}
	return attrs
}

// ourName is that of this process, as the kernel has it.
var ourName = sync.OnceValue(func() string {
	name, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		panic(err)
	}
	return strings.TrimSpace(string(name))
})

// codeName is gRPC's name of a code in the spelling of its specification.
func codeName(c codes.Code) string {
	if c == codes.Canceled {
		return "CANCELLED"
	}
	if c == codes.OK {
		return "OK"
	}
	var name strings.Builder
	for i, r := range c.String() {
		if i > 0 && r >= 'A' && r <= 'Z' {
			name.WriteByte('_')
		}
		name.WriteRune(r)
	}
	return strings.ToUpper(name.String())
}
