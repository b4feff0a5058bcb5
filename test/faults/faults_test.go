// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scenario is one fault.
type scenario struct {
	name    string
	resumes bool // storage is configured, so the position survives the process
	size    int  // of the cluster; 0 is 1
	args    []string
	load    LoadConfig
	// prepare changes the configuration before anything runs.
	prepare func(w *world)
	// fault breaks something while the load runs, and repairs it.
	fault func(w *world)
	// alone: fault also starts everything, in an order of its own.
	alone bool
	// want, if set, looks at a verdict without violations: whether the fault took place at all.
	want func(w *world, v Verdict)
}

// scenarios is every fault. Each file adds its own.
func scenarios() []scenario {
	var all []scenario
	for _, group := range [][]scenario{
		memberFaults(), networkFaults(), authFaults(), pipelineFaults(), contentFaults(),
		crashFaults(), compactionFaults(), historyFaults(), checkpointFaults(), snapshotFaults(), prefixFaults(),
	} {
		all = append(all, group...)
	}
	// FAULTS_ONLY is a part of the names, to repeat one fault often.
	return slices.DeleteFunc(all, func(s scenario) bool { return !strings.Contains(s.name, os.Getenv("FAULTS_ONLY")) })
}

// play runs a scenario once.
func play(t *testing.T, s scenario, seed uint64, long bool) Verdict {
	t.Helper()
	distribution(t)
	etcdBinary(t)
	start := time.Now()
	w := newWorld(t, &s, seed, long)
	if s.prepare != nil {
		s.prepare(w)
	}
	if !s.alone {
		w.begin()
	}
	s.fault(w)
	v := w.finish()
	t.Logf("seed %d: %d changes, %d of them in %d gaps, %d repeats, %d snapshots, %d runs of the collector, %d records, %v", seed,
		v.Changes, v.Missing, v.Gaps, v.Repeats, v.Snapshots, len(w.collector.Runs()), len(w.backend.Records()), time.Since(start).Round(100*time.Millisecond))
	require.Empty(t, v.NotJudged, "not judged: this run shows nothing")
	for _, violation := range v.Violations {
		assert.Fail(t, violation.String())
	}
	if s.want != nil && len(v.Violations) == 0 {
		s.want(w, v)
	}
	return v
}

func newSeed(t *testing.T) uint64 {
	if text := os.Getenv("FAULTS_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "FAULTS_SEED")
		return seed
	}
	return rand.Uint64N(1e9)
}

// Each fault once; with FAULTS_SOAK again and again for that long, in longer runs, and a table at the end. FAULTS_SEED
// repeats one run's choices.
func TestDistributionKeepsItsPromisesUnder(t *testing.T) {
	text := os.Getenv("FAULTS_SOAK")
	length, err := time.ParseDuration(text)
	require.True(t, text == "" || err == nil, "FAULTS_SOAK %q: want a duration, for example 30m", text)
	long, start := length > 0, time.Now()
	all := scenarios()
	tallies := make([]tally, len(all))
	for round := 0; round == 0 || time.Since(start) < length; round++ {
		for i, s := range all {
			name := strings.ReplaceAll(s.name, " ", "_")
			if long {
				name = fmt.Sprintf("%s/%d", name, round)
			}
			t.Run(name, func(t *testing.T) {
				var v Verdict
				defer func() { tallies[i].add(v, t.Failed()) }()
				v = play(t, s, newSeed(t), long)
			})
		}
	}
	if long {
		fmt.Printf("after %v:\n%s", time.Since(start).Round(time.Second), table(all, tallies))
	}
}

// tally is the sum of the verdicts on one fault.
type tally struct{ runs, failed, changes, missing, repeats, gaps, snapshots, violations int }

func (sum *tally) add(v Verdict, failed bool) {
	sum.runs++
	if failed {
		sum.failed++
	}
	sum.changes += v.Changes
	sum.missing += v.Missing
	sum.repeats += v.Repeats
	sum.gaps += v.Gaps
	sum.snapshots += v.Snapshots
	sum.violations += len(v.Violations)
}

func table(all []scenario, tallies []tally) string {
	var text strings.Builder
	out := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "fault\truns\tfailed\tchanges\trepeats\tgaps\tin gaps\tsnapshots\tviolations")
	for i, s := range all {
		sum := tallies[i]
		fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", s.name, sum.runs, sum.failed,
			sum.changes, sum.repeats, sum.gaps, sum.missing, sum.snapshots, sum.violations)
	}
	_ = out.Flush()
	return text.String()
}
