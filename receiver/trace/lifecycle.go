// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/discovery"
	"github.com/etcdreceiver/etcdreceiver/internal/privilege"
)

// Processes come and go. The kernel tells it within a drain; a rescan of all of
// them finds those that were there before, and stands in where the kernel does not.

// openLifecycle has the kernel tell which processes begin and end.
func (t *tracer) openLifecycle() {
	l, err := t.programs.FollowLifecycle()
	if err != nil {
		t.Logger.Info("the kernel does not tell which processes begin and end: an etcd that begins is found by the next rescan",
			zap.Duration("rescan", t.Rescan), zap.Error(privilege.Host{Proc: t.ProcRoot}.Explain(err)))
		return
	}
	t.lifecycle = l
}

// lived is what the kernel told of the life of a process.
type lived struct {
	kind bpf.Kind
	pid  int    // 0 if it was not known here when the kernel told
	tgid uint32 // the kernel's
	at   uint64 // ns of CLOCK_MONOTONIC
}

// live looks after what the last drain told: a process that begins anew under a
// PID that is known, or ends, is another one.
func (t *tracer) live(ctx context.Context) {
	told := t.lived
	t.lived = t.lived[:0]
	if slices.ContainsFunc(told, func(l lived) bool { return l.kind == bpf.KindExec }) {
		if err := t.programs.RenewPIDs(); err != nil { // the next rescan sees them
			t.Logger.Debug("ids of processes cannot be read", zap.Error(err))
		}
	}
	for _, l := range told {
		if l.kind == bpf.KindExec {
			l.pid = int(t.programs.PID(l.tgid))
		}
		if l.pid == 0 {
			continue // the collector does not see it
		}
		if p := t.processes[l.pid]; p != nil && p.found < int64(l.at) {
			t.forget(p)
		}
		if l.kind == bpf.KindExec {
			t.visit(ctx, l.pid)
		}
	}
}

func (t *tracer) scanner() discovery.Scanner {
	return discovery.Scanner{Root: t.ProcRoot, Names: t.Names, Paths: t.Paths}
}

// scan finds the etcd processes of this host, those that have come and those that
// have gone.
func (t *tracer) scan(ctx context.Context) {
	all, err := t.scanner().Processes()
	if err != nil {
		t.Logger.Warn("the processes of this host cannot be listed", zap.Error(err))
		return
	}
	here := map[int]bool{}
	for _, p := range all {
		here[p.PID] = t.meet(p)
	}
	for _, p := range t.processes {
		if !here[p.PID] {
			t.forget(p)
		}
	}
	for _, p := range t.processes {
		t.resume(ctx, p)
	}
	t.tellNobody()
}

// nobodyFor is how long no etcd may be seen before it is told: one may begin after the
// collector.
const nobodyFor = 10 * time.Second

var (
	errNobody = errors.New("no etcd process is seen")
	errUnseen = errors.New("the collector has a name space of process ids of its own and does not see those outside: let it share those of the host, " +
		"in Kubernetes with hostPID: true, or those of etcd beside it with shareProcessNamespace: true")
)

// tellNobody tells once that there is nothing to trace, and when the first etcd is seen.
func (t *tracer) tellNobody() {
	switch {
	case len(t.processes) > 0:
		if t.nobody {
			t.Report(0, nil)
		}
		t.met, t.nobody = true, false
	case !t.met && !t.nobody && time.Since(t.began) >= nobodyFor:
		t.nobody = true
		err := errNobody
		if t.programs.OwnPIDs() {
			err = fmt.Errorf("%w: %w", err, errUnseen)
		}
		t.Logger.Info("requests are not traced until an etcd begins; changes and status are not affected", zap.Error(err))
		t.Report(0, err)
	}
}

// visit looks at one process.
func (t *tracer) visit(ctx context.Context, pid int) {
	if p, ok := t.scanner().Process(pid); ok && t.meet(p) && t.processes[pid] != nil {
		t.resume(ctx, t.processes[pid])
	}
}

// meet takes note of a process, and puts probes into one that is new. It tells
// false of one that is none of ours.
func (t *tracer) meet(p discovery.Process) bool {
	if len(t.PIDs) > 0 && !slices.Contains(t.PIDs, p.PID) {
		return false
	}
	started, err := startTime(t.proc(), p.PID)
	if err != nil {
		return false // it has ended
	}
	if old := t.processes[p.PID]; old != nil {
		if old.started == started && old.binary == t.binaryOf(p.PID) {
			return true
		}
		t.forget(old)
	}
	t.add(&process{Process: p, started: started, found: monotonic()})
	return true
}

// resume does what a process still lacks and is due.
func (t *tracer) resume(ctx context.Context, p *process) {
	if time.Now().Before(p.next) {
		return
	}
	if p.attachment == nil {
		t.add(p)
	}
	t.followFiles(p)
	t.check(ctx, p)
}

// firstPause is before the second self-check of a process, and doubles with each:
// an etcd that begins listens a moment later.
const firstPause = 50 * time.Millisecond

// again has a process that did not answer checked once more soon, with its probes
// left in. It tells false when it is time to give up until a later rescan.
func (t *tracer) again(p *process, reason error) bool {
	if !errors.Is(reason, errNotReached) || p.pause >= t.Rescan {
		return false
	}
	p.pause = max(2*p.pause, firstPause)
	p.next = time.Now().Add(p.pause)
	return true
}

// checkDue checks those whose pause is over.
func (t *tracer) checkDue(ctx context.Context) {
	for _, p := range t.processes {
		if p.pause > 0 && !p.verified && p.attachment != nil {
			t.resume(ctx, p)
		}
	}
}

// forget takes the probes out of a process that has ended, or runs another file.
func (t *tracer) forget(p *process) {
	t.keep(p)
	t.detach(p)
	t.forgetConnections(p)
	delete(t.processes, p.PID)
	delete(t.checking, p.PID)
	t.dropExecutable(p.binary)
	t.Report(p.PID, nil)
}

// keep has the next metrics tell what was counted of a process that is forgotten
// now.
func (t *tracer) keep(p *process) {
	now := time.Now()
	if t.Metrics == nil || !p.verified || !now.After(p.since) {
		return
	}
	all, err := t.programs.Distributions()
	if err != nil {
		t.Logger.Warn("the last counts of a process cannot be read", zap.Int("pid", p.PID), zap.Error(err))
		return
	}
	own := slices.DeleteFunc(all, func(d bpf.Distribution) bool { return int(d.PID) != p.PID })
	t.collectProcess(p, own, now).ResourceMetrics().MoveAndAppendTo(t.gone.ResourceMetrics())
}

// dropExecutable forgets an executable that no process runs any more.
func (t *tracer) dropExecutable(id uint32) {
	for _, p := range t.processes {
		if p.binary == id {
			return
		}
	}
	for of, x := range t.executables {
		if x.id != id {
			continue
		}
		delete(t.executables, of)
		if x.executable == nil {
			return // the programs were not told of it
		}
		if err := t.programs.RemoveBinary(id, x.operations); err != nil {
			t.Logger.Warn("forgetting an executable", zap.Error(err))
		}
		return
	}
}
