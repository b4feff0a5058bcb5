// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster/child"
	"github.com/etcdreceiver/etcdreceiver/internal/localcluster/freeport"
)

// patience is how long a program may take to say something; the machine may be busy.
const patience = 60 * time.Second

// Program is the path that a variable has; the test is skipped where nothing is
// there. In CI (CI is set) nothing may be missing. target is what makes it.
func Program(t *testing.T, variable, target string) string {
	t.Helper()
	path := os.Getenv(variable)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("nothing is at %s (%q), and CI must skip nothing", variable, path)
		}
		t.Skipf("nothing is at %s (%q): run `make %s`", variable, path, target)
	}
	return path
}

// Distribution is the path of the collector that users run.
func Distribution(t *testing.T) string { return Program(t, "OTELCOL_ETCD", "build") }

// FreeAddress is an address of loopback for a program that must be told where to
// listen, another one each time.
func FreeAddress(t testing.TB) string {
	t.Helper()
	address, err := freeport.Address()
	require.NoError(t, err)
	return address
}

// ConfigFile has a configuration of the collector.
func ConfigFile(t *testing.T, config string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(config), 0o600))
	return path
}

// Collector is a running distribution and what it wrote.
type Collector struct {
	*child.Process
	mu     sync.Mutex
	output bytes.Buffer
}

// StartDistribution runs the distribution with configuration files, of which a later one
// overrides an earlier one, and ends it with the test. It waits for nothing.
func StartDistribution(t *testing.T, env []string, configs ...string) *Collector {
	t.Helper()
	c := &Collector{}
	var args []string
	for _, file := range configs {
		args = append(args, "--config", file)
	}
	var err error
	c.Process, err = child.Start(child.Config{Path: Distribution(t), Args: args, Env: append(os.Environ(), env...), LogTo: c})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = c.Kill()
		if t.Failed() {
			t.Logf("the collector's last lines:\n%s", c.Tail())
		}
	})
	return c
}

// Write takes a line of the program's output.
func (c *Collector) Write(line []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.output.Write(line)
}

// Output is all that it wrote so far.
func (c *Collector) Output() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.output.Bytes())
}

// Await waits until the collector has written a text as often.
func (c *Collector) Await(t *testing.T, text string, times int) {
	t.Helper()
	for began := time.Now(); bytes.Count(c.Output(), []byte(text)) < times; time.Sleep(50 * time.Millisecond) {
		select {
		case <-c.Done():
			if bytes.Count(c.Output(), []byte(text)) >= times {
				return
			}
			// The last line tells why, unless it panics. Its last lines may be far from here, among those of other collectors.
			said := bytes.TrimSpace(c.Output())
			require.Fail(t, "the collector has ended", "%v: %s", c.Err(), said[bytes.LastIndexByte(said, '\n')+1:])
		default:
		}
		require.Less(t, time.Since(began), patience, "the collector does not say %q", text)
	}
}
