// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package child

import (
	"os"
	"syscall"
)

var terminate os.Signal = syscall.SIGTERM

// Pause stops the child's execution (SIGSTOP): its connections stay open and nothing answers. Kill still works.
func (p *Process) Pause() error { return p.Signal(syscall.SIGSTOP) }

// Resume continues a paused child (SIGCONT).
func (p *Process) Resume() error { return p.Signal(syscall.SIGCONT) }
