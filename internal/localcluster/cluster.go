// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster/freeport"
)

// startAttempts is how often Start picks new ports after somebody took one between our look and etcd's bind.
const startAttempts = 5

// Config says which cluster to start.
type Config struct {
	// Binary is the path of the etcd program.
	Binary string
	// Binaries are the paths for members that have another program, by their names (n1, n2, ...).
	Binaries map[string]string
	// Size is the number of members; 0 means 1.
	Size int
	// Dir is where Start creates a folder for the cluster, which Close then keeps. Empty: in the system's folder for
	// temporary files, and Close removes it.
	Dir string
	// TLS serves clients over TLS only and demands a client certificate. Peers speak plain HTTP on loopback.
	TLS bool
	// Host is the address at which members serve clients; 127.0.0.1 if empty, where the ports are free in any case.
	Host string
	// ExtraArgs are appended to the command line of every member.
	ExtraArgs []string
	// LogTo receives the output of all members, each line with the member's name in front.
	LogTo io.Writer
}

// Cluster is a running etcd cluster. Close it.
type Cluster struct {
	cfg    Config
	dir    string
	token  string
	tls    *TLS
	log    *prefixLog
	failed chan error
	// watchers counts the goroutines that wait for the end of a member's process.
	watchers sync.WaitGroup

	mu       sync.Mutex
	id       uint64
	members  []*Member
	added    int    // members ever created; names are not used twice
	password string // of user root; empty while auth is off
}

// Start starts a cluster and waits until every member answers and knows a leader. ctx bounds the start only.
//
// On an error nothing is left running.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	if cfg.Size == 0 {
		cfg.Size = 1
	}
	var err error
	for range startAttempts {
		var c *Cluster
		if c, err = start(ctx, cfg); err == nil {
			return c, nil
		}
		if !errors.Is(err, errPortTaken) {
			break
		}
	}
	return nil, fmt.Errorf("start etcd cluster of %d: %w", cfg.Size, err)
}

func start(ctx context.Context, cfg Config) (_ *Cluster, err error) {
	c := &Cluster{cfg: cfg, token: "localcluster-" + rand.Text(), failed: make(chan error, 1)}
	if cfg.LogTo != nil {
		c.log = &prefixLog{to: cfg.LogTo}
	}
	if c.dir, err = os.MkdirTemp(cfg.Dir, "localcluster-*"); err != nil {
		return nil, fmt.Errorf("create folder for the cluster: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if cfg.TLS {
		if c.tls, err = NewTLS(filepath.Join(c.dir, "tls")); err != nil {
			return nil, err
		}
	}
	for range cfg.Size {
		m, err := c.newMember()
		if err != nil {
			return nil, err
		}
		m.ID = memberID(m.PeerURL, c.token)
		c.members = append(c.members, m)
	}
	c.id = clusterID(c.members)
	for _, m := range c.members {
		m.args = c.args(m, c.members, "new")
	}
	return c, c.Restart(ctx, c.members...)
}

// newMember makes the next member, not yet started. The caller holds c.mu or is alone.
func (c *Cluster) newMember() (*Member, error) {
	clientPort, err := freeport.Next()
	if err != nil {
		return nil, err
	}
	peerPort, err := freeport.Next()
	if err != nil {
		return nil, err
	}
	c.added++
	scheme := "http"
	if c.tls != nil {
		scheme = "https"
	}
	name := fmt.Sprintf("n%d", c.added)
	return &Member{
		Name:      name,
		ClientURL: fmt.Sprintf("%s://%s:%d", scheme, cmp.Or(c.cfg.Host, "127.0.0.1"), clientPort),
		PeerURL:   fmt.Sprintf("http://127.0.0.1:%d", peerPort),
		DataDir:   filepath.Join(c.dir, name),
		cluster:   c,
		binary:    cmp.Or(c.cfg.Binaries[name], c.cfg.Binary),
	}, nil
}

// Members gives the members in the order of their creation, running or not.
func (c *Cluster) Members() []*Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*Member(nil), c.members...)
}

// Endpoints gives the client URLs of all members.
func (c *Cluster) Endpoints() []string {
	var urls []string
	for _, m := range c.Members() {
		urls = append(urls, m.ClientURL)
	}
	return urls
}

// ID is the cluster id as etcd reports it.
func (c *Cluster) ID() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.id
}

// TLS gives what a client needs to connect, nil for a cluster without TLS.
func (c *Cluster) TLS() *TLS { return c.tls }

// Failed gives one error if a member's process ends though nobody asked for it.
func (c *Cluster) Failed() <-chan error { return c.failed }

// Restart starts the given members, which must not run, and waits until all of them are up. Members that form a
// quorum only together must be restarted together: etcd does not answer without a leader.
func (c *Cluster) Restart(ctx context.Context, members ...*Member) error {
	for _, m := range members {
		if err := m.launch(); err != nil {
			return err
		}
	}
	for _, m := range members {
		if err := m.awaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Close kills all members, waits for their end and removes the temporary folder. It may be called twice.
func (c *Cluster) Close() error {
	var errs []error
	for _, m := range c.Members() {
		errs = append(errs, m.Kill())
	}
	c.watchers.Wait()
	if c.cfg.Dir == "" {
		errs = append(errs, removeAll(c.dir))
	}
	return errors.Join(errs...)
}

// removeAll tries again for a while: on Windows files stay busy for a moment after the end of a process.
func removeAll(dir string) error {
	var err error
	for range 10 {
		if err = os.RemoveAll(dir); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("remove the cluster's folder: %w", err)
}
