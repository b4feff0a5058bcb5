// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"
)

const (
	// longestSpan is in what time the incidents happen, also without -for.
	longestSpan = time.Minute
	// shortestForCrash is the shortest -for that leaves the collector time to catch up after a crash.
	shortestForCrash = 10 * time.Second
	// crashPause is how long there is no collector.
	crashPause = 1500 * time.Millisecond
)

// incidents loses the leader for the second quarter of the time, and crashes the collector after the third. It ends
// early, without an error, when ctx ends.
func (d *demo) incidents(ctx context.Context) error {
	begin, span := time.Now(), longestSpan
	if d.opts.duration > 0 {
		span = min(span, d.opts.duration)
	}
	if err := d.loseLeader(ctx, begin.Add(span/4), begin.Add(span/2)); err != nil || span < shortestForCrash {
		return err
	}
	return d.crashCollector(ctx, begin.Add(span*3/4))
}

// loseLeader kills the leader and restarts it.
func (d *demo) loseLeader(ctx context.Context, loss, back time.Time) error {
	if !sleepUntil(ctx, loss) {
		return nil
	}
	leader, err := d.cluster.Leader(ctx)
	if err != nil {
		return incidentError(ctx, err)
	}
	pid := leader.PID()
	if err := leader.Kill(); err != nil {
		return fmt.Errorf("kill the leader: %w", err)
	}
	d.out.announce("%s, the leader, was killed (pid %d); %d of %d members are left", leader.Name, pid, d.opts.members-1, d.opts.members)
	d.tellSuccessor(ctx, back)

	if !sleepUntil(ctx, back) {
		return nil
	}
	if err := leader.Restart(ctx); err != nil {
		return incidentError(ctx, err)
	}
	d.out.announce("%s was restarted (pid %d)", leader.Name, leader.PID())
	return nil
}

// tellSuccessor waits for a new leader until the old one comes back.
func (d *demo) tellSuccessor(ctx context.Context, until time.Time) {
	lost := time.Now()
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	next, err := d.cluster.Leader(ctx)
	if err != nil {
		return // one or two members: no quorum without the old one
	}
	d.out.announce("%s leads, %v after the loss", next.Name, time.Since(lost).Round(10*time.Millisecond))
}

// crashCollector kills the collector at the worst moment, with a batch that has arrived and is not confirmed, and starts
// it again, whether or not ctx ends meanwhile: what was written without it still has to arrive.
func (d *demo) crashCollector(ctx context.Context, at time.Time) error {
	if !sleepUntil(ctx, at) {
		return nil
	}
	select {
	case <-d.ledger.batches:
	case <-ctx.Done():
		return nil
	}
	pid, err := d.collector.kill()
	if err != nil {
		return fmt.Errorf("kill the collector: %w", err)
	}
	d.out.announce("the collector was killed with SIGKILL (pid %d)", pid)
	written := d.ledger.writes()
	time.Sleep(crashPause)

	written = d.ledger.writes() - written
	d.ledger.collectorCrashed()
	d.members.collectorCrashed()
	if pid, err = d.collector.start(); err != nil {
		return fmt.Errorf("start the collector again: %w", err)
	}
	d.out.announce("the collector was started again (pid %d); %d changes were written without it", pid, written)
	return nil
}

// sleepUntil tells false if ctx ended first.
func sleepUntil(ctx context.Context, at time.Time) bool {
	select {
	case <-time.After(time.Until(at)):
		return true
	case <-ctx.Done():
		return false
	}
}

func incidentError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil // the end of the demo came first
	}
	return fmt.Errorf("lose and restart the leader: %w", err)
}
