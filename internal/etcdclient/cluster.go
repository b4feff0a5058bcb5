// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package etcdclient

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Cluster keeps one Conn for each endpoint of a cluster that is known: those of
// the target, and those that members told. New makes no connection. Safe for
// concurrent use.
type Cluster struct {
	settings Settings
	discover bool

	mu     sync.Mutex
	target Target
	seeds  []Endpoint // of the target
	told   []Endpoint // by the member list, voters only
	ids    []uint64   // in the member list
	conns  map[Endpoint]*Conn
	turn   int // of Next
}

// NewCluster describes a cluster. With discover, Learn adds what members tell.
func NewCluster(settings Settings, discover bool) *Cluster {
	return &Cluster{settings: settings, discover: discover, conns: map[Endpoint]*Conn{}}
}

// Resolve finds out where the cluster is, again if it was asked before: a host
// without etcd can have one a minute later. The connections to endpoints that
// are still there stay, but trust the authorities that are in the files now.
func (c *Cluster) Resolve(ctx context.Context) (Target, error) {
	target, err := c.settings.Resolve(ctx)
	if err != nil {
		return Target{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conns == nil {
		return Target{}, ErrClosed
	}
	c.target, c.seeds = target, target.Endpoints
	for _, conn := range c.conns {
		conn.trust(target.TLS)
	}
	return target, nil
}

// Seeds are the connections to the target's endpoints.
func (c *Cluster) Seeds() []*Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connsLocked(c.seeds)
}

// discoverTimeout bounds Discover: a stream has just been opened on the same
// connection, so the member is there.
const discoverTimeout = 2 * time.Second

// Discover asks a member for the member list and learns it. Without an answer all
// stays as it is.
func (c *Cluster) Discover(ctx context.Context, conn *Conn) {
	if !c.discover {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, discoverTimeout)
	defer cancel()
	if list, err := conn.Members(ctx); err == nil {
		c.Learn(list.Members)
	}
}

// Learn takes in a member list: its voters are endpoints to fall back on.
func (c *Cluster) Learn(members []*pb.Member) {
	var ids []uint64
	for _, m := range members {
		ids = append(ids, m.ID)
	}
	c.mu.Lock()
	c.ids = ids
	c.mu.Unlock()
	if !c.discover {
		return
	}
	var told []Endpoint
	for _, m := range members {
		if m.IsLearner {
			continue // serves no watch
		}
		if e, ok := c.EndpointOf(m); ok {
			told = append(told, e)
		}
	}
	c.mu.Lock()
	c.told = told
	c.mu.Unlock()
}

// Member finds a member that was learned by the last two bytes of its id, which is
// all that an entry of the raft log has of it.
func (c *Cluster) Member(end uint16) (id uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range c.ids {
		if uint16(id) == end {
			return id, true
		}
	}
	return 0, false
}

// EndpointOf is where a member of the list can be asked: the first of its client
// URLs that is as secure as the target, since that is what the certificates are
// for. A member that has not started yet tells none.
func (c *Cluster) EndpointOf(m *pb.Member) (Endpoint, bool) {
	c.mu.Lock()
	secure := c.target.TLS != nil
	c.mu.Unlock()
	for _, u := range m.ClientURLs {
		if e, err := ParseEndpoint(u); err == nil && e.Secure() == secure {
			return e, true
		}
	}
	return Endpoint{}, false
}

// Conn gives the connection to an endpoint, always the same one until Forget.
func (c *Cluster) Conn(e Endpoint) *Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connsLocked([]Endpoint{e})[0]
}

// Claimed gives the connection to an endpoint that a process on this host claims to
// serve, and what ends it. Only an endpoint that is configured or that a member told
// has one that stays, with user and password: any process may call itself etcd, and
// hundreds may come and go.
func (c *Cluster) Claimed(e Endpoint) (conn *Conn, end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Contains(c.seeds, e) || slices.Contains(c.told, e) {
		return c.connsLocked([]Endpoint{e})[0], func() {}
	}
	conn = Settings{Timeout: c.settings.Timeout}.NewConn(c.target, e)
	return conn, func() { _ = conn.Close() }
}

// Next gives the known endpoints in turn, for a stream that needs any voter.
func (c *Cluster) Next() (*Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := make([]Endpoint, 0, len(c.seeds)+len(c.told))
	seen := map[Endpoint]bool{}
	for _, e := range append(append(known, c.seeds...), c.told...) {
		if !seen[e] {
			seen[e] = true
			known = append(known, e)
		}
	}
	if len(known) == 0 {
		return nil, errors.New("no endpoint is known")
	}
	c.turn++
	return c.connsLocked(known[(c.turn-1)%len(known):])[0], nil
}

func (c *Cluster) connsLocked(endpoints []Endpoint) []*Conn {
	out := make([]*Conn, 0, len(endpoints))
	for _, e := range endpoints {
		conn := c.conns[e]
		if conn == nil {
			conn = c.settings.NewConn(c.target, e)
			if c.conns == nil {
				_ = conn.Close() // calls on it answer ErrClosed
			} else {
				c.conns[e] = conn
			}
		}
		out = append(out, conn)
	}
	return out
}

// Forget closes the connection to an endpoint that is not a member any more.
func (c *Cluster) Forget(e Endpoint) {
	c.mu.Lock()
	conn := c.conns[e]
	delete(c.conns, e)
	c.mu.Unlock()
	if conn != nil {
		_ = conn.Close()
	}
}

// Username is the configured user, for messages.
func (c *Cluster) Username() string { return c.settings.Username }

// Close closes all connections. It may be called twice.
func (c *Cluster) Close() error {
	c.mu.Lock()
	conns := c.conns
	c.conns = nil
	c.mu.Unlock()
	var errs []error
	for _, conn := range conns {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}
