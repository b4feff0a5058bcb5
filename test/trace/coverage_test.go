// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"google.golang.org/grpc"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// authorGap says of which changes the author is missing.
type authorGap struct {
	from, to, count int64
	reason          string
}

func authorGapOf(lr plog.LogRecord) (authorGap, bool) {
	attrs := lr.Attributes().AsRaw()
	if lr.EventName() != "etcd.watch.gap" || attrs["etcd.gap.source"] != "author" {
		return authorGap{}, false
	}
	return authorGap{
		attrs["etcd.gap.from_revision"].(int64), attrs["etcd.gap.to_revision"].(int64), attrs["etcd.gap.count"].(int64), attrs["etcd.gap.reason"].(string),
	}, true
}

// signedIn are the points of a batch of metrics that has the coverage.
func signedIn(metrics pmetric.Metrics) map[string]pmetric.NumberDataPoint {
	return seriesIn(metrics, "etcd.change.signed", "etcd.author.outcome")
}

// coverage is what the metrics say at last, and what the receiver's own telemetry
// says too.
func (a *agent) coverage(t *testing.T) map[string]int64 {
	t.Helper()
	of := map[string]int64{}
	for _, batch := range slices.Backward(a.Metrics()) {
		for outcome, dp := range signedIn(batch.Metrics) {
			of[outcome] = dp.IntValue()
		}
		if len(of) > 0 {
			break
		}
	}
	for outcome, n := range of {
		assert.Equal(t, n, a.Counter("receiver_etcd_changes_signed", "outcome", outcome), outcome)
	}
	return of
}

// judgeGaps holds the gaps of an agent that has stopped against the changes that it
// told without an author: each is in a gap, none is counted twice, and there are few.
func (a *agent) judgeGaps(t *testing.T) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	without, counted := 0, int64(0)
	for _, c := range a.changes {
		if c.source != "" && c.source != "raft" {
			continue
		}
		without++
		if !slices.ContainsFunc(a.gaps, func(g authorGap) bool { return g.from <= c.revision && c.revision <= g.to }) {
			t.Errorf("revision %d has no author, and no gap tells it: %+v", c.revision, a.gaps)
		}
	}
	for _, g := range a.gaps {
		counted += g.count
	}
	assert.EqualValues(t, without, counted, "%+v", a.gaps)
	t.Logf("%d changes without an author are told by %+v", without, a.gaps)
}

func TestTheCoverageIsTrueAndTheHoleIsToldWhereTracingEndsInTheMiddle(t *testing.T) {
	cluster := harness.Start(t, "3.6", localcluster.Config{})
	m := cluster.Members()[0]
	a := startAgent(t, cluster, m, "")
	is := func(joined, untraced int64) func() bool {
		want := map[string]int64{"joined": joined, "elsewhere": 0, "missed": 0, "late": 0, "untraced": untraced}
		return func() bool { return maps.Equal(want, sums(a.Receiver, "etcd.change.signed", "etcd.author.outcome")) }
	}
	var revisions []int64
	write := func(n int) {
		c := call(t, cluster, m, nil)
		for i := range n {
			r, err := pb.NewKVClient(c.ClientConn).Put(t.Context(), &pb.PutRequest{Key: fmt.Appendf(nil, "/load/%d", i)}, grpc.WaitForReady(true))
			require.NoError(t, err)
			revisions = append(revisions, r.Header.Revision)
		}
	}
	waitFor(t, "a coverage of nothing", is(0, 0))
	write(100)
	waitFor(t, "changes with their author", is(100, 0))
	require.NoError(t, m.Kill())
	require.NoError(t, cluster.Restart(t.Context(), m)) // a process that the agent was not told to trace
	write(50)
	waitFor(t, "changes without", is(100, 50))

	before := len(a.Metrics())
	waitFor(t, "more of the same", func() bool { return len(a.Metrics()) >= before+5 })
	all := a.Metrics()
	var pauses []time.Duration
	for i, b := range all[before:] {
		pauses = append(pauses, b.At.Sub(all[before+i-1].At))
	}
	slices.Sort(pauses)
	assert.Less(t, pauses[len(pauses)/2], 500*time.Millisecond, "it is told in each interval of 100 ms, whether it changes or not")
	a.Stop(t)
	for i, c := range a.told() {
		require.Equal(t, i < 100, c.source == "request", "change %d: %+v", i, c)
	}
	assert.Equal(t, map[string]int64{"joined": 100, "elsewhere": 0, "missed": 0, "late": 0, "untraced": 50}, a.coverage(t))
	a.judgeGaps(t)
	assert.Equal(t, revisions[100], a.gaps[0].from, "the first change after")
	assert.Equal(t, revisions[149], a.gaps[len(a.gaps)-1].to)
	assert.LessOrEqual(t, len(a.gaps), 3, "one at once, one in ten seconds, one at the end")
	for _, g := range a.gaps {
		assert.Equal(t, "untraced", g.reason)
	}
	isOfOneSeries(t, all)
	assert.Equal(t, 1, areAsDeclared(t, all[len(all)-1].Metrics, "(watch).", false))
}

func TestWhereNothingIsTracedTheCoverageSaysSoAndNoGapDoes(t *testing.T) {
	cluster := harness.Start(t, "3.6", localcluster.Config{})
	m := cluster.Members()[0]
	run := func(ebpf string) *harness.Receiver {
		r := harness.New(t, fmt.Sprintf("{endpoints: [%q], collection_interval: 100ms, status: {enabled: false}, ebpf: %s}", m.ClientURL, ebpf), true, true)
		r.Start(t)
		t.Cleanup(func() { r.Stop(t) })
		waitFor(t, "a watch", func() bool { return r.Log.FilterMessage("watching").Len() > 0 })
		return r
	}
	may, off := run(fmt.Sprintf("{mode: auto, processes: {pids: [%d]}}", os.Getpid())), run("{mode: disabled}")
	kv := pb.NewKVClient(call(t, cluster, m, nil).ClientConn)
	for n := range 20 {
		_, err := kv.Put(t.Context(), &pb.PutRequest{Key: fmt.Appendf(nil, "/load/%d", n)})
		require.NoError(t, err)
	}
	waitFor(t, "the coverage", func() bool { return sums(may, "etcd.change.signed", "etcd.author.outcome")["untraced"] == 20 })
	waitFor(t, "all changes", func() bool { return len(off.Records()) == 20 })
	may.Stop(t)
	assert.Len(t, may.Records(), 20, "nothing but changes")
	assert.EqualValues(t, 20, sumOf(sums(may, "etcd.change.signed", "etcd.author.outcome")))
	assert.Empty(t, off.Metrics(), "there is nothing to cover")
}

// isOfOneSeries: the coverage is of the cluster, and its points have one start and
// never go back.
func isOfOneSeries(t *testing.T, batches []harness.MetricsBatch) {
	t.Helper()
	last := map[string]pmetric.NumberDataPoint{}
	for _, batch := range batches {
		for outcome, dp := range signedIn(batch.Metrics) {
			resource := batch.Metrics.ResourceMetrics().At(0).Resource().Attributes().AsRaw()
			require.NotContains(t, resource, "etcd.member.id")
			require.Contains(t, resource, "etcd.cluster.id")
			if before, ok := last[outcome]; ok {
				require.Equal(t, before.StartTimestamp(), dp.StartTimestamp())
				require.Greater(t, dp.Timestamp(), before.Timestamp())
				require.GreaterOrEqual(t, dp.IntValue(), before.IntValue())
			} else {
				require.Zero(t, dp.IntValue(), "nothing is kept from before the start")
			}
			last[outcome] = dp
		}
	}
	require.Len(t, last, 5)
}

// A transaction over many long keys is more than the smallest ring has room for, and
// what others write meanwhile does not fit either.
func TestChangesWhoseRequestsTheRingHadNoRoomForAreCountedAndTold(t *testing.T) {
	cluster := harness.Start(t, "3.6", localcluster.Config{})
	m := cluster.Members()[0]
	a := startAgentWith(t, cluster, m, "", 64<<10)
	long := strings.Repeat("k", 200)
	var enough atomic.Bool
	var written atomic.Int64
	var mu sync.Mutex
	by := map[int64]int{} // port, by revision
	var writers sync.WaitGroup
	for client := range 8 {
		c := call(t, cluster, m, nil)
		c.learnPort(t)
		kv := pb.NewKVClient(c.ClientConn)
		writers.Go(func() {
			for n := 0; !enough.Load(); n++ {
				var revision int64
				if client%2 == 0 {
					r, err := kv.Put(t.Context(), &pb.PutRequest{Key: fmt.Appendf(nil, "/load/%d/%d", client, n)})
					if !assert.NoError(t, err) {
						return
					}
					revision = r.Header.Revision
					written.Add(1)
				} else {
					txn := &pb.TxnRequest{}
					for i := range 100 {
						txn.Success = append(txn.Success, put(fmt.Sprintf("/load/%d/%d/%s", client, i, long), "v"))
					}
					r, err := kv.Txn(t.Context(), txn)
					if !assert.NoError(t, err) {
						return
					}
					revision = r.Header.Revision
					written.Add(100)
				}
				mu.Lock()
				by[revision] = c.port
				mu.Unlock()
			}
		})
	}
	began := time.Now()
	for a.Counter("receiver_etcd_changes_signed", "outcome", "missed") < 100 && time.Since(began) < patience {
		time.Sleep(100 * time.Millisecond)
	}
	enough.Store(true)
	writers.Wait()
	waitFor(t, "all changes", func() bool { return int64(len(a.told())) == written.Load() })
	took := time.Since(began)
	a.Stop(t)

	of := a.coverage(t)
	t.Logf("%d changes in %s: %v; %d records were lost", written.Load(), took.Round(time.Millisecond), of, a.Counter("receiver_etcd_events_lost", "stage", "ring_buffer"))
	assert.Equal(t, written.Load(), sumOf(of), "each change is counted once")
	named := int64(0)
	for _, c := range a.told() {
		if c.source == "request" {
			named++
			assert.EqualValues(t, by[c.revision], c.port, "revision %d", c.revision)
		}
	}
	assert.Equal(t, named, of["joined"])
	assert.Positive(t, named)
	assert.Positive(t, of["missed"])
	a.judgeGaps(t)
	assert.True(t, slices.ContainsFunc(a.gaps, func(g authorGap) bool { return g.reason == "overflow" }))
	assert.LessOrEqual(t, len(a.gaps), 3*(2+int(took/(10*time.Second))), "at most one of a reason in ten seconds")
}
