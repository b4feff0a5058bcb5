// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

// What the collector logs when the stream of a prefix is open, and when it ends for a reason that is not its own.
const (
	watching   = "\twatching\t"
	watchEnded = "\tthe watch ended; it is opened again from the last delivered revision\t"
)

// Launch starts the next process and does not wait for anything.
func (c *Collector) Launch() error {
	run := Run{}
	if c.Config.Storage != "" {
		run.Checkpoints, _ = ReadCheckpoint(c.Config.Storage) // none where there is no file, or it is damaged
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

// Start starts the next process and waits until it watches all prefixes, or until something of it has arrived.
func (c *Collector) Start(ctx context.Context) error {
	if err := c.Launch(); err != nil {
		return err
	}
	return c.AwaitReady(ctx)
}

// AwaitReady waits as Start does.
func (c *Collector) AwaitReady(ctx context.Context) error {
	prefixes, _ := c.Config.Watch["prefixes"].([]string)
	for {
		if c.log.Count(watching) >= max(1, len(prefixes)) || c.arrived() {
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

// Log is what the processes logged.
func (c *Collector) Log() *collectorLog { return c.log }

// Tail gives its last lines.
func (c *Collector) Tail() string { return c.proc.Tail() }

// collectorLog keeps the lines of each process. They are few: one a change of state.
type collectorLog struct {
	each func(line string)

	mu   sync.Mutex
	runs [][]string
}

func (l *collectorLog) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs = append(l.runs, nil)
}

func (l *collectorLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	present := &l.runs[len(l.runs)-1]
	*present = append(*present, string(line))
	if l.each != nil {
		l.each(strings.TrimSuffix(string(line), "\n"))
	}
	return len(line), nil
}

// Count is the number of lines of the present process that contain a text.
func (l *collectorLog) Count(text string) int {
	runs := l.all()
	n := 0
	for _, line := range runs[len(runs)-1] {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// all gives the lines of each process.
func (l *collectorLog) all() [][]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.runs)
}
