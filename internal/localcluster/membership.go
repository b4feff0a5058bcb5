// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// AddMember adds a voter or a learner, starts it and waits until it is up. Its name is one that was never used before.
//
// etcd refuses to change a cluster that is younger than five seconds or not healthy; AddMember waits for that to pass.
func (c *Cluster) AddMember(ctx context.Context, learner bool) (*Member, error) {
	m, err := c.addMember(ctx, learner)
	if err != nil {
		return nil, fmt.Errorf("add member: %w", err)
	}
	return m, nil
}

func (c *Cluster) addMember(ctx context.Context, learner bool) (*Member, error) {
	cli, err := c.Client()
	if err != nil {
		return nil, err
	}
	defer func() { _ = cli.Close() }()

	c.mu.Lock()
	m, err := c.newMember()
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	m.learner = learner
	add := cli.MemberAdd
	if learner {
		add = cli.MemberAddAsLearner
	}
	err = reconfigure(ctx, func() error {
		resp, err := add(ctx, []string{m.PeerURL})
		if err == nil {
			m.ID = resp.Member.ID
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.members = append(c.members, m)
	m.args = c.args(m, c.members, "existing")
	c.mu.Unlock()
	return m, m.Restart(ctx)
}

// RemoveMember takes m out of the cluster and ends its process. Its data folder stays until Close.
func (c *Cluster) RemoveMember(ctx context.Context, m *Member) error {
	cli, err := c.Client(func(cfg *clientv3.Config) {
		cfg.Endpoints = slices.DeleteFunc(cfg.Endpoints, func(url string) bool { return url == m.ClientURL })
	})
	if err != nil {
		return fmt.Errorf("remove member %s: %w", m.Name, err)
	}
	defer func() { _ = cli.Close() }()

	m.guard(false) // etcd ends by itself when it learns of its removal
	err = reconfigure(ctx, func() error {
		_, err := cli.MemberRemove(ctx, m.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("remove member %s: %w", m.Name, err)
	}
	if err := m.Stop(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members = slices.DeleteFunc(c.members, func(other *Member) bool { return other == m })
	return nil
}

// reconfigure repeats change while etcd refuses it for a reason that passes.
func reconfigure(ctx context.Context, change func() error) error {
	for {
		err := change()
		if !errors.Is(err, rpctypes.ErrUnhealthy) && !errors.Is(err, rpctypes.ErrMemberNotEnoughStarted) {
			return err
		}
		select {
		case <-time.After(10 * pollInterval):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}
