// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster/child"
)

// Collector runs the distribution, one process after another with the same storage.
type Collector struct {
	Program string
	// Prefix is put in front of the command, to run it in a network namespace.
	Prefix []string
	Config *Config

	backend *Backend
	log     *collectorLog
	proc    *child.Process
	runs    []Run
}

// NewCollector prepares the distribution; it starts nothing.
func NewCollector(program string, config *Config, backend *Backend, log func(line string)) *Collector {
	return &Collector{Program: program, Config: config, backend: backend, log: &collectorLog{each: log}}
}

// Launch starts the next process and does not wait for anything.
func (c *Collector) Launch() error {
	run := Run{}
	if c.Config.Storage != "" {
		run.Checkpoint, _ = ReadCheckpoint(c.Config.Storage) // 0 where there is none, or it is damaged
	}
	c.runs = append(c.runs, run)
	text, err := c.Config.YAML(len(c.runs))
	if err != nil {
		return err
	}
	file := filepath.Join(c.Config.Dir, fmt.Sprintf("collector-%d.yaml", len(c.runs)))
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	command := append(append([]string(nil), c.Prefix...), c.Program, "--config", file)
	c.log.begin()
	c.proc, err = child.Start(child.Config{Path: command[0], Args: command[1:], LogTo: c.log})
	return err
}

// Start starts the next process and waits until it watches, or until something of it has arrived.
func (c *Collector) Start(ctx context.Context) error {
	if err := c.Launch(); err != nil {
		return err
	}
	return c.AwaitReady(ctx)
}

// AwaitReady waits as Start does.
func (c *Collector) AwaitReady(ctx context.Context) error {
	for {
		if c.log.Count("\twatching\t") > 0 || c.arrived() {
			return nil
		}
		select {
		case <-c.proc.Done():
			return fmt.Errorf("the collector ended: %v; its last lines:\n%s", c.proc.Err(), c.proc.Tail())
		case <-ctx.Done():
			return fmt.Errorf("wait until the collector watches: %w; its last lines:\n%s", ctx.Err(), c.proc.Tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *Collector) arrived() bool {
	records := c.backend.Records()
	return len(records) > 0 && records[len(records)-1].Run == len(c.runs)
}

// Kill ends the process at once (SIGKILL).
func (c *Collector) Kill() error {
	if c.proc == nil {
		return nil
	}
	c.runs[len(c.runs)-1].Killed = true
	return c.proc.Kill()
}

// Stop ends the process in order.
func (c *Collector) Stop() error {
	const grace = 20 * time.Second
	if c.HasEnded() {
		return errors.New("the collector had ended by itself: " + c.proc.Tail())
	}
	return c.proc.Stop(grace)
}

// Close makes sure that nothing runs.
func (c *Collector) Close() {
	if c.proc != nil {
		_ = c.proc.Kill()
	}
}

// AllowRepeats tells how many batches the next run may repeat.
func (c *Collector) AllowRepeats(batches int) { c.runs[len(c.runs)-1].Batches = batches }

// Runs gives the processes so far.
func (c *Collector) Runs() []Run { return c.runs }

// Ended is closed when the present process has ended.
func (c *Collector) Ended() <-chan struct{} { return c.proc.Done() }

// HasEnded tells whether it has.
func (c *Collector) HasEnded() bool {
	select {
	case <-c.proc.Done():
		return true
	default:
		return false
	}
}

// Log counts what the present process logged.
func (c *Collector) Log() *collectorLog { return c.log }

// Tail gives its last lines.
func (c *Collector) Tail() string { return c.proc.Tail() }

// collectorLog keeps the log of the present process. It is small: one line a change of state.
type collectorLog struct {
	each func(line string)

	mu    sync.Mutex
	lines []string
}

func (l *collectorLog) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = nil
}

func (l *collectorLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(line))
	if l.each != nil {
		l.each(strings.TrimSuffix(string(line), "\n"))
	}
	return len(line), nil
}

// Count is the number of lines that contain a text.
func (l *collectorLog) Count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}
