// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster/child"
)

// stopGrace is the time that the collector gets to flush and end.
const stopGrace = 10 * time.Second

// collector is the collector with the etcd receiver. It may be killed and started again. Safe for concurrent use.
type collector struct {
	cfg child.Config

	mu      sync.Mutex
	process *child.Process
	killed  bool // by us, and not started again
}

// start gives the process id.
func (c *collector) start() (pid int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := child.Start(c.cfg)
	if err != nil {
		return 0, err
	}
	c.process, c.killed = p, false
	return p.PID(), nil
}

// kill ends it with SIGKILL and gives the process id.
func (c *collector) kill() (pid int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.killed = true
	return c.process.PID(), c.process.Kill()
}

func (c *collector) stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.process.Stop(stopGrace)
}

// broken gives an error if it has ended by itself.
func (c *collector) broken() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed {
		return nil
	}
	select {
	case <-c.process.Done():
		return fmt.Errorf("the collector ended: %v; last lines of its output:\n%s", c.process.Err(), c.process.Tail())
	default:
		return nil
	}
}

// tail gives the last lines of its output.
func (c *collector) tail() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.process.Tail()
}
