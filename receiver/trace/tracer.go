// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/gobinary"
	"github.com/etcdreceiver/etcdreceiver/internal/privilege"
)

// drainEvery is how long a record may lie in the ring: see bpf.Programs.Drain. A
// ring of 1 MiB holds 250,000 requests a second for so long, the default of 8 MiB a
// million (BenchmarkRing).
const drainEvery = 10 * time.Millisecond

// tracer is what Run has: one goroutine owns it all.
type tracer struct {
	*Tracer
	programs    *bpf.Programs
	executables map[identity]*found
	processes   map[int]*process
	assembler   *assembler
	metrics     chan pmetric.Metrics // room for one
	gone        pmetric.Metrics      // the last ones of processes that have ended
	meters      map[*process]*meter
	record      bpf.Record
	disk        *bpf.Disk // nil if syncs are not followed
	files       names     // by knowFiles
	filesSeen   time.Time
	lifecycle   *bpf.Lifecycle // nil if the kernel does not tell
	lived       []lived        // since the last drain
	network     *network       // nil if connections are not followed
	membersTold chan []member
	outbox      *outbox       // nil without a logs pipeline
	checks      chan *checked // of self-checks, which ask etcd and so take time
	checking    map[int]*check
	ahead       int64  // of the wall clock over CLOCK_MONOTONIC, when it was last looked
	lost        uint64 // of the ring, as it was last told
	misses      uint64 // of the programs on tracepoints, likewise
	nextBinary  uint32
	began       time.Time
	met, nobody bool // an etcd was seen since then; it was told that none is
}

// found is an inspected executable: what it is, or why it cannot be traced.
type found struct {
	*executable
	id  uint32
	err error
}

// run traces until ctx ends. It calls probesOut then, which with perf's may take longer
// than what is left is offered.
func (t *tracer) run(ctx context.Context, probesOut func()) {
	defer privilege.With(func() { t.end(probesOut) })
	drain := time.NewTicker(drainEvery)
	defer drain.Stop()
	rescan := time.NewTicker(t.Rescan)
	defer rescan.Stop()
	collect := time.NewTicker(t.Interval)
	defer collect.Stop()
	due := func() { t.scan(ctx) }
	for {
		privilege.With(due)
		t.programs.ForgetTypes() // of all that this has loaded, and of Open
		select {
		case <-ctx.Done():
			return
		case now := <-drain.C:
			due = func() { t.drained(ctx, now) }
		case c := <-t.checks:
			due = func() { t.judge(ctx, c) }
		case told := <-t.membersTold:
			due = func() { t.answeredMembers(told) }
		case <-rescan.C:
			due = func() { t.scan(ctx) }
		case now := <-collect.C:
			due = func() { t.collected(now) }
		}
	}
}

// drained reads the ring and does what is due after it.
func (t *tracer) drained(ctx context.Context, now time.Time) {
	t.drain(now)
	t.live(ctx)
	t.checkDue(ctx)
	t.knowFiles(now)
	t.watchPeers(now)
	t.settleHalfOpen(now)
	t.refreshMembers(ctx, now)
	if t.outbox != nil {
		t.outbox.flush(now, false)
	}
}

// collected tells the metrics of an interval.
func (t *tracer) collected(now time.Time) {
	t.ahead = wallAhead()
	t.look(now)
	t.timeConnections()
	t.tellMisses()
	t.tell(now)
}

// end takes all probes out, then reads what is still in the ring.
func (t *tracer) end(probesOut func()) {
	for _, p := range t.processes {
		if p.attachment != nil {
			t.takeOut(p)
		}
	}
	probesOut()
	t.drain(time.Now())
	t.look(time.Now())
	t.tellMisses()
	t.assembler.sweep(time.Now().Add(2 * patience))
	if counted, err := t.programs.Counters(); err == nil {
		t.Logger.Debug("the programs in the kernel have ended", zap.Any("counted", counted))
	}
	if t.outbox != nil {
		t.outbox.flush(time.Now(), true)
		close(t.outbox.queue)
	}
	t.send(time.Now()) // these have no next ones, so they wait until the pipeline takes those before
	close(t.metrics)
}

// tell hands metrics over, unless the pipeline has not taken the last ones yet: the
// next have what these would have had.
func (t *tracer) tell(now time.Time) {
	if len(t.metrics) < cap(t.metrics) { // nobody else sends
		t.send(now)
	}
}

func (t *tracer) send(now time.Time) {
	if t.Metrics == nil {
		return
	}
	m := t.gone
	t.gone = pmetric.NewMetrics()
	t.collect(now).ResourceMetrics().MoveAndAppendTo(m.ResourceMetrics())
	if m.ResourceMetrics().Len() > 0 {
		t.metrics <- m
	}
}

// drain reads the ring.
func (t *tracer) drain(now time.Time) {
	err := t.programs.Drain(func(raw []byte) {
		if err := bpf.Decode(raw, &t.record); err != nil {
			t.Lost(LostDecode, 1)
			t.Logger.Error("a record of the kernel cannot be read: this is a defect of the receiver", zap.Error(err))
			return
		}
		tgid := t.record.PID
		t.record.PID = t.programs.PID(tgid)
		switch t.record.Kind {
		case bpf.KindSync:
			t.synced(&t.record, now)
		case bpf.KindApplied:
			t.applied(&t.record)
		case bpf.KindConnection:
			t.connected(&t.record, now)
		case bpf.KindHandshake:
			t.handshakeFailed(&t.record, now)
		case bpf.KindExec, bpf.KindExit:
			t.lived = append(t.lived, lived{t.record.Kind, int(t.record.PID), tgid, t.record.Time})
		default:
			t.assembler.take(&t.record, now)
		}
	})
	if err != nil {
		t.Logger.Warn("the ring cannot be read", zap.Error(err))
	}
	t.assembler.sweep(now)
	t.tellLost()
	if t.Window != nil {
		t.Window.Drained()
	}
}

// tellLost tells what the programs could not since it was last told.
func (t *tracer) tellLost() {
	now := t.programs.Lost()
	if n := int64(now - t.lost); n > 0 {
		t.Lost(LostRing, n)
		if t.outbox != nil {
			t.outbox.untold += n
		}
		if t.Window != nil {
			t.Window.Lost()
		}
	}
	t.lost = now
}

// tellMisses tells how often the kernel left out what hangs on its tracepoints since it
// was last told.
func (t *tracer) tellMisses() {
	now, err := t.programs.Misses()
	if err != nil {
		t.Logger.Debug("what the kernel has left out is not known", zap.Error(err))
		return
	}
	if n := int64(now - t.misses); n > 0 {
		t.Missed(n)
	}
	t.misses = now
}

// binaryOf is the id of what a process runs now: it may have executed another
// file under the same PID. 0 if that is not known.
func (t *tracer) binaryOf(pid int) uint32 {
	file, id, err := openExecutable(t.proc(), pid)
	if err != nil {
		return 0
	}
	_ = file.Close()
	if x := t.executables[id]; x != nil {
		return x.id
	}
	return 0
}

// add inspects a process and puts probes into it.
func (t *tracer) add(p *process) {
	t.processes[p.PID] = p
	t.tellNobody()
	if err := t.attach(p); err != nil {
		t.detach(p)
		t.refuse(p, fmt.Errorf("etcd cannot be traced: %w", privilege.Host{Proc: t.ProcRoot}.Explain(err)))
	}
}

// refuse tells why a process is not traced, once for each reason.
func (t *tracer) refuse(p *process, reason error) {
	p.delay = min(max(2*p.delay, t.Rescan), maxRetry)
	p.next = time.Now().Add(p.delay)
	why := reason.Error()
	if errors.Is(reason, errMisread) {
		why = errMisread.Error()
	}
	if p.reason != why {
		p.reason = why
		level := zap.WarnLevel
		if errors.Is(reason, errForeign) {
			level = zap.DebugLevel
		}
		t.Logger.Log(level, "requests of an etcd process are not traced", zap.Int("pid", p.PID), zap.String("name", p.Name), zap.Error(reason))
	}
	t.Report(p.PID, reason)
}

// maxRetry is how long a process that could not be traced is left alone: it may be
// of another cluster, and putting probes in costs it some milliseconds.
const maxRetry = time.Minute

func (t *tracer) attach(p *process) error {
	file, id, err := openExecutable(t.proc(), p.PID)
	if err != nil {
		return fmt.Errorf("open the executable of process %d: %w", p.PID, err)
	}
	defer func() { _ = file.Close() }()
	x := t.executables[id]
	if x == nil {
		x = t.inspect(file)
		t.executables[id] = x
	}
	p.binary = x.id
	if x.err != nil {
		return x.err
	}
	if err := t.programs.Prepare(t.probesOf(x.executable)); err != nil {
		return err
	}
	if err := t.programs.PutBinary(x.id, &x.binary, x.operations); err != nil {
		return err
	}
	p.executable = x.executable
	p.is.Binary = x.id
	if p.is.Bias, err = loadBias(t.proc(), p.PID, x.build, id); err != nil {
		return err
	}
	if err := t.programs.PutProcess(p.PID, p.is); err != nil {
		return err
	}
	if p.attachment, err = t.programs.Attach(executablePath(t.proc(), p.PID), p.PID, x.probes); err != nil {
		return errors.Join(err, t.programs.RemoveProcess(p.PID))
	}
	t.Logger.Debug("probes are in etcd", zap.Int("pid", p.PID), zap.String("go", x.build.GoVersion), zap.Int("probes", len(x.probes)))
	return nil
}

// probesOf are all that may be put into a process of an executable, now or later: what
// they need is loaded at once, not between two requests.
func (t *tracer) probesOf(x *executable) []bpf.Probe {
	all := slices.Clone(x.probes)
	if t.Window != nil {
		all = append(all, x.applied...)
	}
	if x.user != nil {
		all = append(all, *x.user)
	}
	return all
}

// inspect reads an executable once, however many processes run it.
func (t *tracer) inspect(file io.ReaderAt) *found {
	t.nextBinary++
	x := &found{id: t.nextBinary}
	binary, err := gobinary.Open(file)
	if err == nil {
		x.executable, err = inspect(binary, t.leaves)
	}
	x.err = err
	return x
}

// leaves tells whether every request of an operation leaves the kernel: to become a
// record, or to be tied to the changes it made.
func (t *tracer) leaves(o *operation) bool { return t.emits(o) || t.Window != nil && !o.read }

// emits tells whether every request of an operation becomes a record.
func (t *tracer) emits(o *operation) bool {
	if t.Logs == nil || !t.wanted(o) {
		return false
	}
	switch t.Mode {
	case ModeAll:
		return !o.read || t.Sample >= 1
	case ModeWrites:
		return !o.read
	default:
		return false
	}
}

// wanted tells whether the user wants records of an operation at all. nil is one
// that is not known.
func (t *tracer) wanted(o *operation) bool {
	return len(t.Operations) == 0 || o != nil && slices.Contains(t.Operations, string(o.family))
}

func (t *tracer) detach(p *process) {
	if p.attachment == nil {
		return
	}
	t.takeOut(p)
	if err := t.programs.RemoveProcess(p.PID); err != nil {
		t.Logger.Warn("forgetting a process", zap.Int("pid", p.PID), zap.Error(err))
	}
}

// takeOut takes the probes out of a process; what was counted of it stays.
func (t *tracer) takeOut(p *process) {
	err := p.attachment.Close()
	if p.users != nil {
		err = errors.Join(err, p.users.Close())
	}
	if p.writes != nil {
		err = errors.Join(err, p.writes.Close())
	}
	p.attachment, p.users, p.writes = nil, nil, nil
	if t.Window != nil {
		t.Window.Ended(p.PID)
	}
	if err != nil {
		t.Logger.Warn("taking probes out of etcd", zap.Int("pid", p.PID), zap.Error(err))
	}
}

func (t *tracer) proc() string {
	if t.ProcRoot == "" {
		return "/proc"
	}
	return t.ProcRoot
}
