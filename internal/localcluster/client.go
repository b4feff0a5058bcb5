// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const dialTimeout = 5 * time.Second

// Client gives a client with full access, as root if auth is enabled. opts change its configuration; the endpoints are
// those of the members that were not added as learners, since a learner refuses most requests. The caller closes it.
func (c *Cluster) Client(opts ...func(*clientv3.Config)) (*clientv3.Client, error) {
	cfg := clientv3.Config{DialTimeout: dialTimeout, Logger: zap.NewNop()}
	for _, m := range c.Members() {
		if !m.learner {
			cfg.Endpoints = append(cfg.Endpoints, m.ClientURL)
		}
	}
	if c.tls != nil {
		cfg.TLS = c.tls.Config()
	}
	c.mu.Lock()
	if c.password != "" {
		cfg.Username, cfg.Password = "root", c.password
	}
	c.mu.Unlock()
	for _, opt := range opts {
		opt(&cfg)
	}
	cli, err := clientv3.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to etcd at %v: %w", cfg.Endpoints, err)
	}
	return cli, nil
}

// status asks this member alone, within the time of ctx.
func (m *Member) status(ctx context.Context) (*clientv3.StatusResponse, error) {
	cli, err := m.cluster.Client(func(cfg *clientv3.Config) {
		cfg.Endpoints = []string{m.ClientURL}
		cfg.DialTimeout = callTimeout // also bounds the login of root
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = cli.Close() }()
	return cli.Status(ctx, m.ClientURL)
}

// Leader waits until a running member says that it leads, and gives it.
func (c *Cluster) Leader(ctx context.Context) (*Member, error) {
	for {
		if m := c.leader(ctx); m != nil {
			return m, nil
		}
		select {
		case <-time.After(pollInterval):
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for a leader: %w", ctx.Err())
		}
	}
}

// leader gives the member that leads at the highest term: a leader that was paused does not know of its successor.
func (c *Cluster) leader(ctx context.Context) *Member {
	var leader *Member
	var term uint64
	for _, m := range c.Members() {
		if p := m.process(); p == nil || ended(p) {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		st, err := m.status(ctx)
		cancel()
		if err == nil && st.Leader == m.ID && st.RaftTerm > term {
			leader, term = m, st.RaftTerm
		}
	}
	return leader
}

// EnableAuth creates the user root with the given password and switches auth on. Client then logs in as root.
func (c *Cluster) EnableAuth(ctx context.Context, rootPassword string) error {
	cli, err := c.Client()
	if err != nil {
		return fmt.Errorf("enable auth: %w", err)
	}
	defer func() { _ = cli.Close() }()
	steps := []struct {
		name string
		do   func() error
	}{
		{"add role root", func() error { _, err := cli.RoleAdd(ctx, "root"); return err }},
		{"add user root", func() error { _, err := cli.UserAdd(ctx, "root", rootPassword); return err }},
		{"grant role root", func() error { _, err := cli.UserGrantRole(ctx, "root", "root"); return err }},
		{"switch on", func() error { _, err := cli.AuthEnable(ctx); return err }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return fmt.Errorf("enable auth: %s: %w", step.name, err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.password = rootPassword
	return nil
}
