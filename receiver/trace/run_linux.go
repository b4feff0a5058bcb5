// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"context"
	"fmt"

	"github.com/etcdreceiver/etcdreceiver/bpf"
)

// Run traces until ctx ends. Its error says that nothing can be traced on this
// host, and why; it comes at once.
func (t *Tracer) Run(ctx context.Context) error {
	sample := t.Sample
	if t.Mode != ModeAll {
		sample = 0
	}
	slow := t.SlowRequest
	if t.Mode == ModeNone {
		slow = 0
	}
	programs, err := bpf.Load(bpf.Options{RingBytes: t.RingBytes, SlowRequest: slow, Sample: sample})
	if err != nil {
		return fmt.Errorf("load programs into the kernel: %w", err)
	}
	r := &tracer{
		Tracer: t, programs: programs, executables: map[identity]*found{}, processes: map[int]*process{},
		checks: make(chan *checked), checking: map[int]*check{}, ahead: wallAhead(),
	}
	r.assembler = newAssembler(r.finished)
	r.run(ctx)
	return nil
}
