// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// problems says what keeps the demo from being a success right now.
func (d *demo) problems() []string {
	problems := d.ledger.balance().problems()
	report := d.members.report()
	for _, m := range d.cluster.Members() {
		if !slices.Contains(report.answered, m.Name) {
			problems = append(problems, "no metrics about member "+m.Name+" as a reachable member")
		}
	}
	if report.points == 0 {
		problems = append(problems, "no metrics arrived")
	}
	return problems
}

// judge prints the summary and gives an error if the demo failed.
func (d *demo) judge(w *workload) error {
	problems, balance := d.problems(), d.ledger.balance()
	d.out.print(d.members.lines()...)
	d.out.print(summary(balance, d.members.report(), w.failed, len(d.cluster.Members()))...)
	d.out.print(d.traced.lines(func() string { return whyNotTraced(d.collectorLog()) })...)
	if len(problems) > 0 {
		return errors.New("FAILED: " + strings.Join(problems, "; "))
	}
	if balance.repeated > 0 {
		d.out.print("PASSED: every change arrived, and only the last batch before the crash came once more")
	} else {
		d.out.print("PASSED: every change arrived exactly once")
	}
	return nil
}

// summary shows the numbers of a run.
func summary(b balance, r report, unconfirmed, members int) []string {
	repeated := ""
	if b.repeated > 0 {
		repeated = fmt.Sprintf(", %d repeated after the crash of the collector", b.repeated)
	}
	return []string{
		fmt.Sprintf("changes    written %d puts and %d deletes; arrived %d and %d, with the expired sessions", b.puts, b.deletes, b.putRecords, b.deleteRecords),
		fmt.Sprintf("writes     %d without a confirmation (no leader)", unconfirmed),
		fmt.Sprintf("revisions  %d..%d: %d seen, %d missing, %d changes twice%s", b.first, b.last, b.revisions, len(b.holes), len(b.twice), repeated),
		fmt.Sprintf("members    %d of %d reported: %s", len(r.answered), members, strings.Join(r.answered, ", ")),
		fmt.Sprintf("metrics    %d data points in %d batches", r.points, r.batches),
	}
}
