// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"
)

// Without -for, the leader is lost after openEndedLoss and comes back after openEndedReturn.
const (
	openEndedLoss   = 30 * time.Second
	openEndedReturn = 45 * time.Second
)

// incident kills the leader half-way and restarts it at three quarters of the time. It ends early, without an error,
// when ctx ends.
func (d *demo) incident(ctx context.Context) error {
	begin := time.Now()
	loss, back := openEndedLoss, openEndedReturn
	if d.opts.duration > 0 {
		loss, back = min(loss, d.opts.duration/2), min(back, d.opts.duration*3/4)
	}
	if !sleepUntil(ctx, begin.Add(loss)) {
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
	d.tellSuccessor(ctx, begin.Add(back))

	if !sleepUntil(ctx, begin.Add(back)) {
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
