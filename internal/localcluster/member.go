// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster/child"
)

const (
	// stopGrace is the time for an orderly end. etcd hands leadership over first, which takes a few elections at worst.
	stopGrace = 15 * time.Second
	// pollInterval is the pause between two looks at something that will become true.
	pollInterval = 50 * time.Millisecond
	// callTimeout bounds one request of ours, so that a paused member cannot hold up a poll.
	callTimeout = time.Second
)

// errPortTaken says that another process has a port that we thought free. Worth a new attempt with other ports.
var errPortTaken = errors.New("port is taken by another process")

// Member is one etcd of a Cluster.
type Member struct {
	// Name is n1, n2, ... in the order of creation.
	Name string
	// ClientURL and PeerURL are what the member advertises.
	ClientURL, PeerURL string
	// DataDir is the member's data folder.
	DataDir string
	// ID is the member id as etcd reports it.
	ID uint64

	cluster *Cluster
	args    []string
	learner bool // when it was added

	mu      sync.Mutex
	binary  string
	proc    *child.Process // nil before the first start
	guarded bool           // from now on an end of proc is unwanted
}

// PID is the process id of the member, or of its last process if it does not run.
func (m *Member) PID() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.proc == nil {
		return 0
	}
	return m.proc.PID()
}

// Kill ends the member at once (SIGKILL) and waits for its end.
func (m *Member) Kill() error {
	if p := m.guard(false); p != nil {
		return p.Kill()
	}
	return nil
}

// Stop ends the member in order (SIGTERM) and waits for its end. A member that does not end is killed, with an error.
func (m *Member) Stop() error {
	if p := m.guard(false); p != nil {
		return p.Stop(stopGrace)
	}
	return nil
}

// Pause freezes the member (SIGSTOP): connections stay open, nothing answers.
func (m *Member) Pause() error { return m.process().Pause() }

// Resume continues a paused member (SIGCONT).
func (m *Member) Resume() error { return m.process().Resume() }

// Restart starts the member again after Kill or Stop, with the same data, ports and id, and waits until it is up.
// See Cluster.Restart for members that need each other.
func (m *Member) Restart(ctx context.Context) error { return m.cluster.Restart(ctx, m) }

// Binary is the path of the etcd program that the next start of the member uses.
func (m *Member) Binary() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.binary
}

// SetBinary makes the next start of the member use another etcd program, as an upgrade does.
func (m *Member) SetBinary(path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.binary = path
}

func (m *Member) process() *child.Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.proc
}

// guard says whether an end of the process is to be reported.
func (m *Member) guard(on bool) *child.Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.guarded = on
	return m.proc
}

// launch starts the member's process.
func (m *Member) launch() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.proc != nil && !ended(m.proc) {
		return fmt.Errorf("start member %s: it is running (pid %d)", m.Name, m.proc.PID())
	}
	cfg := child.Config{Path: m.binary, Args: m.args, Env: environment()}
	if m.cluster.log != nil {
		cfg.LogTo = m.cluster.log.named(m.Name)
	}
	p, err := child.Start(cfg)
	if err != nil {
		return fmt.Errorf("start member %s: %w", m.Name, err)
	}
	m.proc, m.guarded = p, false // a failed start is reported by awaitReady
	m.cluster.watchers.Add(1)
	go m.watch(p) // ends with the process; Close waits for it
	return nil
}

// watch reports an end of p that nobody asked for.
func (m *Member) watch(p *child.Process) {
	defer m.cluster.watchers.Done()
	<-p.Done()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.guarded {
		return
	}
	select {
	case m.cluster.failed <- m.endError(p):
	default: // one report is enough
	}
}

// endError describes an unwanted end of p.
func (m *Member) endError(p *child.Process) error {
	err := fmt.Errorf("member %s (pid %d) ended: %v; last lines of its output:\n%s", m.Name, p.PID(), p.Err(), p.Tail())
	if strings.Contains(p.Tail(), "address already in use") || strings.Contains(p.Tail(), "Only one usage of each socket") {
		return fmt.Errorf("%w: %w", errPortTaken, err)
	}
	return err
}

// awaitReady returns when the member answers with our ids and knows a leader, or when it cannot any more.
func (m *Member) awaitReady(ctx context.Context) error {
	p := m.process()
	for {
		up, err := m.probe(ctx)
		if up {
			m.guard(true)
		}
		if ended(p) {
			// Asked after the probe: an answer counts only if our process was there all the time.
			return m.endError(p)
		}
		if up {
			return nil
		}
		select {
		case <-p.Done():
		case <-time.After(pollInterval):
		case <-ctx.Done():
			return fmt.Errorf("wait for member %s (pid %d, %s): %w; last answer: %v", m.Name, p.PID(), m.ClientURL, ctx.Err(), err)
		}
	}
}

// probe asks whoever listens on the member's client URL for its status. err says why the member is not up yet.
func (m *Member) probe(ctx context.Context) (up bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	st, err := m.status(ctx)
	if err != nil {
		return false, err
	}
	if got, want := st.Header.ClusterId, m.cluster.ID(); got != want {
		return false, fmt.Errorf("somebody else's etcd: cluster id %016x, want %016x", got, want)
	}
	if st.Header.MemberId != m.ID {
		return false, fmt.Errorf("another member: id %016x, want %016x", st.Header.MemberId, m.ID)
	}
	if st.Leader == 0 {
		return false, errors.New("no leader yet")
	}
	return true, nil
}

func ended(p *child.Process) bool {
	select {
	case <-p.Done():
		return true
	default:
		return false
	}
}
