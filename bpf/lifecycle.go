// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"fmt"

	"github.com/cilium/ebpf/link"
)

// Lifecycle is the programs that tell which processes begin and end, as KindExec
// and KindExit in the ring.
type Lifecycle struct{ links []link.Link }

// FollowLifecycle attaches them. All processes of the host are told as they
// execute a program; only those of PutProcess as they end.
func (p *Programs) FollowLifecycle() (*Lifecycle, error) {
	links, err := p.lifecycleByBTF()
	if why := p.whyNotBTF(err); why != nil {
		if links, err = p.lifecycleByName(); err != nil {
			err = fmt.Errorf("%w, and by tracefs: %w", why, err)
		}
	}
	if err != nil {
		return nil, err
	}
	return &Lifecycle{links}, nil
}

func (p *Programs) lifecycleByBTF() ([]link.Link, error) {
	if p.perf {
		return nil, errNoRing
	}
	spec, err := loadLifecycle()
	if err != nil {
		return nil, err
	}
	return p.attachTracepoints(spec, p.shared(spec), []string{lifecycleProgSchedProcessExec, lifecycleProgSchedProcessExit})
}

func (p *Programs) lifecycleByName() ([]link.Link, error) {
	spec, maps, err := p.namedSpec()
	if err != nil {
		return nil, err
	}
	return p.attachByName(spec, maps, []tracepoint{
		{"sched", "sched_process_exec", namedProgExecuted}, {"sched", "sched_process_exit", namedProgFirstThreadEnded},
	})
}

// Close takes the programs out of the kernel.
func (l *Lifecycle) Close() error { return closeAll(l.links) }
