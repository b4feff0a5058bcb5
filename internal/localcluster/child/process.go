// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package child

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// outputGrace bounds the wait for the output of a child that has ended: a grandchild may still hold the pipe.
const outputGrace = 2 * time.Second

// Config says what to start.
type Config struct {
	// Path of the program, and its arguments without the program's name.
	Path string
	Args []string
	// Env is the whole environment; nil is the environment of this process.
	Env []string
	// LogTo receives stdout and stderr line by line, if set. Every line is one Write.
	LogTo io.Writer
}

// Process is a started child.
type Process struct {
	path string
	cmd  *exec.Cmd
	tail *tail
	done chan struct{}
	err  error // how it ended; readable after done
}

// Start starts the program. An error means that nothing runs.
func Start(cfg Config) (*Process, error) {
	p := &Process{path: cfg.Path, cmd: exec.Command(cfg.Path, cfg.Args...), tail: &tail{}, done: make(chan struct{})}
	lines := &lineWriter{sinks: []io.Writer{p.tail}}
	if cfg.LogTo != nil {
		lines.sinks = append(lines.sinks, cfg.LogTo)
	}
	p.cmd.Env = cfg.Env
	// One writer for both, so that os/exec uses one pipe and one goroutine, and lines do not mix.
	p.cmd.Stdout, p.cmd.Stderr = lines, lines
	p.cmd.WaitDelay = outputGrace
	p.cmd.SysProcAttr = sysProcAttr()

	started := make(chan error, 1)
	// This goroutine ends when the child has ended. It keeps its operating system thread all that time: on Linux
	// "parent" in PR_SET_PDEATHSIG means the thread that forked, and a thread of Go's pool may end at any time,
	// which would kill a healthy child.
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = p.cmd.Wait()
		lines.flush()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cfg.Path, err)
	}
	return p, nil
}

// PID is the process id of the child; it stays the same after its end.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the child has ended and its output is complete.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the child ended, nil for exit code 0. It may be called after Done is closed only.
func (p *Process) Err() error { return p.err }

// Tail gives the last lines of the child's output.
func (p *Process) Tail() string { return p.tail.String() }

// Kill ends the child at once (SIGKILL) and waits for its end. It is no error if the child has ended already.
func (p *Process) Kill() error {
	if err := p.Signal(os.Kill); err != nil {
		return err
	}
	<-p.done
	return nil
}

// Stop asks the child to end (SIGTERM) and waits for its end. A child that is still there after grace is killed,
// and that is an error.
func (p *Process) Stop(grace time.Duration) error {
	if err := p.Signal(terminate); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(grace):
	}
	if err := p.Kill(); err != nil {
		return err
	}
	return fmt.Errorf("stop %s (pid %d): still running after %v, killed", p.path, p.PID(), grace)
}

// Signal sends the child a signal, such as SIGHUP, and waits for nothing. It is no error if the child has ended already.
func (p *Process) Signal(sig os.Signal) error {
	err := p.cmd.Process.Signal(sig)
	if err == nil || errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return fmt.Errorf("send signal %q to %s (pid %d): %w", sig, p.path, p.PID(), err)
}
