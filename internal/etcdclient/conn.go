// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package etcdclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
)

const (
	// reconnectMaxDelay bounds gRPC's own back-off, 2 minutes by default: a member
	// that is back is to be seen back within one collection.
	reconnectMaxDelay = 5 * time.Second
	// keepaliveTime is the shortest that gRPC allows a client.
	keepaliveTime    = 10 * time.Second
	keepaliveTimeout = 3 * time.Second
)

// Conn is the connection to one endpoint. Its methods are safe for concurrent
// use; each is one call and obeys the deadline of its context.
type Conn struct {
	endpoint           Endpoint
	username, password string
	timeout            time.Duration
	ctx                context.Context // ends with Close, so that Close need not wait for an Authenticate
	cancel             context.CancelFunc

	transport atomic.Pointer[transport]

	mu      sync.Mutex       // held while a call waits for a token
	client  *clientv3.Client // nil until a call needed it
	over    *transport       // that client was made with
	retired *clientv3.Client // the one before, whose token was refused or whose authorities are old; calls may still use it
	closed  bool
	// refused is the last login that etcd refused, and when.
	refused   error
	refusedAt time.Time
}

// loginPause is how long a refused login speaks for the calls that come after it:
// the calls of one collection are made at once, and each login costs etcd a bcrypt.
const loginPause = 500 * time.Millisecond

// ErrClosed is returned by calls on a closed Conn.
var ErrClosed = errors.New("connection is closed")

// NewConn describes the connection; the first call makes it.
func (s Settings) NewConn(target Target, endpoint Endpoint) *Conn {
	config := target.TLS
	if !endpoint.Secure() {
		config = nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Conn{
		endpoint: endpoint,
		ctx:      ctx, cancel: cancel,
		username: s.Username, password: s.Password, timeout: s.Timeout,
	}
	c.transport.Store(newTransport(endpoint, config))
	return c
}

// transport is what connections are made with.
type transport struct {
	tls  *tls.Config // nil for a plain endpoint
	http *http.Client
}

func newTransport(endpoint Endpoint, config *tls.Config) *transport {
	return &transport{config, &http.Client{Transport: &http.Transport{
		TLSClientConfig: config,
		// The member would spend CPU on compressing what mostly crosses loopback or a LAN.
		DisableCompression: true,
		MaxIdleConns:       1,
		DialContext:        endpoint.dialer(),
	}}}
}

// trust has connections made anew if the authorities in config are others: a
// tls.Config reads its certificate again, but not its authorities. Streams and
// calls in flight go on.
func (c *Conn) trust(config *tls.Config) {
	before := c.transport.Load()
	if before.tls == nil || config == nil || before.tls.RootCAs.Equal(config.RootCAs) {
		return
	}
	if c.transport.CompareAndSwap(before, newTransport(c.endpoint, config)) {
		before.http.CloseIdleConnections()
	}
}

func (e Endpoint) dialer() func(context.Context, string, string) (net.Conn, error) {
	var d net.Dialer
	if e.Path == "" {
		return d.DialContext
	}
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "unix", e.Path)
	}
}

// Endpoint the connection goes to.
func (c *Conn) Endpoint() Endpoint { return c.endpoint }

// grpc gives the connection for calls, with a token if there is a user. It
// waits for the token at most as long as the timeout and until ctx ends, and not
// for a connection.
func (c *Conn) grpc(ctx context.Context) (*grpc.ClientConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	over := c.transport.Load()
	if c.over != over {
		c.retireClient()
	}
	switch {
	case c.closed:
		return nil, ErrClosed
	case c.client != nil:
		return c.client.ActiveConnection(), nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx) // another call waited for the token in vain
	}
	if c.refused != nil && time.Since(c.refusedAt) < loginPause {
		return nil, c.refused
	}
	life, end := context.WithCancel(c.ctx) // of the client, which outlives ctx
	release := context.AfterFunc(ctx, end)
	client, err := clientv3.New(c.config(life, over.tls))
	if err != nil {
		end()
		err = fmt.Errorf("connect to %s: %w", c.endpoint, err)
		if IsDenied(err) {
			c.refused, c.refusedAt = err, time.Now()
		}
		return nil, err
	}
	c.refused = nil
	if !release() { // ctx has ended, and with it the client
		_ = client.Close()
		return nil, context.Cause(ctx)
	}
	c.client, c.over = client, over
	return client.ActiveConnection(), nil
}

func (c *Conn) config(ctx context.Context, security *tls.Config) clientv3.Config {
	config := clientv3.Config{
		Context:              ctx,
		Endpoints:            []string{c.endpoint.String()},
		TLS:                  security,
		Username:             c.username,
		Password:             c.password,
		DialTimeout:          c.timeout, // bounds the first Authenticate
		DialKeepAliveTime:    keepaliveTime,
		DialKeepAliveTimeout: keepaliveTimeout,
		Logger:               zap.NewNop(), // it would repeat each failure; we tell changes of state
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			// A first attempt to connect ends before the call that waits for it, so that the call tells why it failed.
			Backoff:           backoff.Config{BaseDelay: min(time.Second, c.timeout/2), Multiplier: 1.6, Jitter: 0.2, MaxDelay: reconnectMaxDelay},
			MinConnectTimeout: c.timeout * 3 / 4,
		}), grpc.WithUnaryInterceptor(callOnce)},
	}
	if security != nil && security.ServerName != "" {
		named := namedCredentials{credentials.NewTLS(security), security.ServerName}
		config.DialOptions = append(config.DialOptions, grpc.WithTransportCredentials(named))
	}
	return config
}

// call makes a call, and makes it again with a new token if etcd does not know
// the token any more: it expired, or the member was restarted.
func (c *Conn) call(ctx context.Context, do func(*grpc.ClientConn) error) error {
	conn, err := c.grpc(ctx)
	if err != nil {
		return err
	}
	if err = do(conn); !isStaleToken(err) {
		return err
	}
	c.retire(conn)
	if conn, err = c.grpc(ctx); err != nil {
		return err
	}
	return do(conn)
}

// retire makes the next call log in anew. A new client does it: clientv3's own
// way sends the old token along, which etcd 3.4.23 refuses, and tries again
// without end.
func (c *Conn) retire(conn *grpc.ClientConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client != nil && c.client.ActiveConnection() == conn { // else another call was first
		c.retireClient()
	}
}

// retirement leaves calls in flight the time to end.
const retirement = time.Minute

// retireClient wants c.mu to be held. The client is closed when no call uses it any
// more: with old authorities it would try in vain to connect, again and again.
func (c *Conn) retireClient() {
	if c.client == nil {
		return
	}
	if c.retired != nil {
		_ = c.retired.Close()
	}
	before := c.client
	c.client, c.retired = nil, before
	time.AfterFunc(retirement, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.retired == before {
			c.retired = nil
			_ = before.Close()
		}
	})
}

// callOnce takes the place of clientv3's interceptor, which would renew tokens.
func callOnce(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return invoke(ctx, method, request, reply, conn, opts...)
}

// Status asks the member about itself. It answers without a quorum.
func (c *Conn) Status(ctx context.Context) (answer *pb.StatusResponse, err error) {
	err = c.call(ctx, func(conn *grpc.ClientConn) (err error) {
		answer, err = pb.NewMaintenanceClient(conn).Status(ctx, &pb.StatusRequest{})
		return err
	})
	return answer, err
}

// Members asks the member for its own view of the member list, so that it
// answers without a quorum too.
func (c *Conn) Members(ctx context.Context) (answer *pb.MemberListResponse, err error) {
	err = c.call(ctx, func(conn *grpc.ClientConn) (err error) {
		answer, err = pb.NewClusterClient(conn).MemberList(ctx, &pb.MemberListRequest{Linearizable: false})
		return err
	})
	return answer, err
}

// Alarms asks for the raised alarms. In etcd this is a raft proposal (a write to
// every member's WAL): use it only where Status, which lists them too, is denied.
//
// Source: EtcdServer.Alarm in server/etcdserver/v3_server.go.
func (c *Conn) Alarms(ctx context.Context) (answer *pb.AlarmResponse, err error) {
	err = c.call(ctx, func(conn *grpc.ClientConn) (err error) {
		answer, err = pb.NewMaintenanceClient(conn).Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_GET})
		return err
	})
	return answer, err
}

// Read makes a linearizable read of one key that need not exist, as `etcdctl
// endpoint health` does: it succeeds only if the member reaches a leader that
// has a quorum.
func (c *Conn) Read(ctx context.Context) error {
	_, err := c.Revision(ctx, []byte("health"))
	return err
}

// Revision makes a linearizable read of one key that need not exist and gives the
// revision of the store: no revision that any member has told before is above it.
func (c *Conn) Revision(ctx context.Context, key []byte) (int64, error) {
	answer, err := c.Range(ctx, &pb.RangeRequest{Key: key, KeysOnly: true, Limit: 1})
	if err != nil {
		return 0, err
	}
	return answer.Header.Revision, nil
}

// MayRead asks whether the user may read a range; IsDenied tells a no from other
// errors. etcd reads nothing for it: permissions are checked for both branches of
// a transaction, and the one with the range is never taken. A plain read, even of
// one key, would count the whole range, 0.3 s of CPU for a million keys (measured).
func (c *Conn) MayRead(ctx context.Context, key, end []byte) error {
	return c.call(ctx, func(conn *grpc.ClientConn) error {
		_, err := pb.NewKVClient(conn).Txn(ctx, &pb.TxnRequest{
			Compare: []*pb.Compare{{Key: key, Result: pb.Compare_LESS, Target: pb.Compare_VERSION, TargetUnion: &pb.Compare_Version{Version: 0}}},
			Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{
				RequestRange: &pb.RangeRequest{Key: key, RangeEnd: end, Serializable: true, KeysOnly: true, Limit: 1},
			}}},
		})
		return err
	})
}

// Range reads keys.
func (c *Conn) Range(ctx context.Context, request *pb.RangeRequest) (answer *pb.RangeResponse, err error) {
	err = c.call(ctx, func(conn *grpc.ClientConn) (err error) {
		answer, err = pb.NewKVClient(conn).Range(ctx, request)
		return err
	})
	return answer, err
}

// Dial opens a connection of its own for watch streams, so that their token is
// fresh: a stream keeps the token it was opened with, also when that has expired
// (measured on 3.5.35 and 3.6.16). Call end to close it, which ends its streams.
func (c *Conn) Dial(ctx context.Context) (conn *grpc.ClientConn, end func(), err error) {
	client, err := clientv3.New(c.config(ctx, c.transport.Load().tls))
	if err != nil {
		return nil, nil, fmt.Errorf("connect to %s: %w", c.endpoint, err)
	}
	return client.ActiveConnection(), func() { _ = client.Close() }, nil
}

// Metrics opens the member's own /metrics. The caller closes it.
func (c *Conn) Metrics(ctx context.Context) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.endpoint.metricsURL(), nil)
	if err != nil {
		return nil, err
	}
	response, err := c.transport.Load().http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		_ = response.Body.Close()
		return nil, fmt.Errorf("GET %s: %s", request.URL, response.Status)
	}
	return response.Body, nil
}

// Close ends the connection. Calls in flight fail. It may be called twice.
func (c *Conn) Close() error {
	c.cancel()
	c.mu.Lock()
	clients := []*clientv3.Client{c.client, c.retired}
	c.client, c.retired, c.closed = nil, nil, true
	c.mu.Unlock()
	c.transport.Load().http.CloseIdleConnections()
	var errs []error
	for _, client := range clients {
		if client != nil {
			errs = append(errs, client.Close())
		}
	}
	return errors.Join(errs...)
}
