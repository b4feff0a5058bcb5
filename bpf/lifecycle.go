// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"

	"github.com/cilium/ebpf/link"
)

// Lifecycle is the programs that tell which processes begin and end, as KindExec
// and KindExit in the ring.
type Lifecycle struct{ links []link.Link }

// FollowLifecycle attaches them. All processes of the host are told as they
// execute a program; only those of PutProcess as they end.
func (p *Programs) FollowLifecycle() (*Lifecycle, error) {
	spec, err := loadLifecycle()
	if err != nil {
		return nil, err
	}
	maps, err := p.shared(spec)
	if err != nil {
		return nil, err
	}
	links, err := p.attachTracepoints(spec, maps, []string{lifecycleProgSchedProcessExec, lifecycleProgSchedProcessExit})
	if errors.Is(err, errNoBTF) {
		links, err = p.attachByName(spec, maps, []tracepoint{
			{"sched", "sched_process_exec", lifecycleProgExecuted}, {"sched", "sched_process_exit", lifecycleProgFirstThreadEnded},
		})
	}
	if err != nil {
		return nil, err
	}
	return &Lifecycle{links}, nil
}

// Close takes the programs out of the kernel.
func (l *Lifecycle) Close() error { return closeAll(l.links) }
