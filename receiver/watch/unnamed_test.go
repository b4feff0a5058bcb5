// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/etcdreceiver/etcdreceiver/internal/delivery"
	"github.com/etcdreceiver/etcdreceiver/internal/join"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

// gapsOf collects the sentences of gaps, and gives what refused says of them.
func gapsOf(out *[]string, refused func() error) Deliver {
	return func(_ context.Context, logs plog.Logs) error {
		for _, lr := range records(logs).All() {
			if lr.EventName() != "etcd.watch.gap" {
				continue
			}
			if err := refused(); err != nil {
				return err
			}
			*out = append(*out, lr.Body().Str())
		}
		return nil
	}
}

func accepted() error { return nil }

// missed is traced, with a request that cannot have made the change of a.
func missed(w *join.Window, revisions ...int64) {
	for _, r := range revisions {
		w.Applied(&join.Applied{PID: tracedEtcd, Revision: r, Here: true, Operation: "put"})
		w.Served(&join.Write{PID: tracedEtcd, Revision: r, Certain: true, Puts: []join.Keys{{Key: []byte("b")}}})
	}
}

// followUnnamed follows with batches of two, and a window in which nothing is traced.
func followUnnamed(t *testing.T, deliver Deliver) *session {
	s := follow(t, Bounds{MaxRecords: 2, MaxBytes: 1 << 20, MaxDelay: time.Hour}, deliver)
	s.Window, s.UnnamedEvery = join.NewWindow(), time.Hour
	s.pending = s.newBatch()
	return s
}

// takeOne hands over a change of each revision.
func (s *session) takeOne(t *testing.T, revisions ...int64) {
	for _, r := range revisions {
		require.NoError(t, s.takeEvents(t, events(r, "a")))
	}
}

func TestEachChangeWithoutAnAuthorIsInOneGapAndGapsDoNotFollowEachOther(t *testing.T) {
	var got []string
	s := followUnnamed(t, gapsOf(&got, accepted))
	s.Window.Tracing(tracedEtcd, 12)
	missed(s.Window, 13, 14, 16, 17)
	s.takeOne(t, 11, 12)
	assert.Equal(t, []string{"authors of 2 changes in revisions 11..12 missing: untraced"}, got, "the first ones at once")
	s.takeOne(t, 13, 14, 16, 17)
	assert.Len(t, got, 1, "others wait")
	s.flushLast(t.Context())
	s.flushLast(t.Context())
	assert.Equal(t, []string{"authors of 4 changes in revisions 13..17 missing: missed"}, got[1:], "for no longer than the stream, and not twice")

	s.UnnamedEvery = 0
	s.Window.Lost()
	missed(s.Window, 18, 19, 20, 21)
	s.takeOne(t, 18, 19)
	s.takeOne(t, 20, 21)
	assert.Equal(t, []string{
		"authors of 2 changes in revisions 18..19 missing: overflow", "authors of 2 changes in revisions 20..21 missing: missed",
	}, got[2:], "records were lost before the first of them")
}

func TestAuthorsAreNotMissingWhereNothingHasEverBeenTraced(t *testing.T) {
	var got []string
	s := followUnnamed(t, gapsOf(&got, accepted))
	s.takeOne(t, 11, 12, 13, 14)
	s.flushLast(t.Context())
	assert.Empty(t, got)
	s.Window.Tracing(tracedEtcd, 16)
	s.takeOne(t, 15, 16)
	assert.Equal(t, []string{"authors of 6 changes in revisions 11..16 missing: untraced"}, got, "it has begun")
}

func TestMissingAuthorsThatThePipelineRefusesAreToldWithTheNext(t *testing.T) {
	var got []string
	var refusal error = &delivery.RefusedError{Records: 1, Cause: errors.New("no")}
	s := followUnnamed(t, gapsOf(&got, func() error { return refusal }))
	s.Window.Tracing(tracedEtcd, 20)
	s.takeOne(t, 11, 12)
	refusal = nil
	s.takeOne(t, 13, 14)
	assert.Equal(t, []string{"authors of 4 changes in revisions 11..14 missing: untraced"}, got)
	assert.EqualValues(t, 15, s.next)
}

func TestMissingAuthorsAreSwitchedOffWithGaps(t *testing.T) {
	delivered := 0
	s := followUnnamed(t, func(context.Context, plog.Logs) error { delivered++; return nil })
	s.Format.Events.EtcdWatchGap.Enabled = false
	s.Window.Tracing(tracedEtcd, 20)
	s.takeOne(t, 11, 12)
	assert.Equal(t, 1, delivered)
}

func TestAWatchThatLagsBehindTheWindowCountsAndTellsEachChange(t *testing.T) {
	const kept, first, last = 65_536, 11, 200_000
	var gaps []string
	delivered := 0
	tell := gapsOf(&gaps, accepted)
	s := follow(t, Bounds{MaxRecords: 1024, MaxBytes: 1 << 30, MaxDelay: time.Hour}, func(ctx context.Context, logs plog.Logs) error {
		delivered += logs.LogRecordCount()
		return tell(ctx, logs)
	})
	s.Window, s.UnnamedEvery = join.NewWindow(), time.Hour
	s.Window.Tracing(tracedEtcd, first-1)
	for r := int64(first); r <= last; r++ {
		s.Window.Applied(&join.Applied{PID: tracedEtcd, Revision: r, Here: true, Operation: "put"})
		s.Window.Served(&join.Write{PID: tracedEtcd, Revision: r, Certain: true, Puts: []join.Keys{{Key: []byte("a")}}, By: logrecord.Author{Operation: "put"}})
	}
	s.pending = s.newBatch()
	for r := int64(first); r <= last; {
		var response []*mvccpb.Event
		for ; len(response) < 1000 && r <= last; r++ {
			response = append(response, events(r, "a")...)
		}
		require.NoError(t, s.takeEvents(t, response))
	}
	s.flushLast(t.Context())
	of := s.coverage.all()[1]
	assert.EqualValues(t, last-kept-first+1, of[join.Late].count)
	assert.EqualValues(t, kept, of[join.Joined].count)
	assert.Equal(t, last-first+1+len(gaps), delivered)
	require.Len(t, gaps, 2, "one at once, one at the end")
	assert.Equal(t, fmt.Sprintf("authors of %d changes in revisions %d..%d missing: late", last-kept-1034, 1035, last-kept), gaps[1])
}

func TestAWatchThatLagsBehindARestartOfEtcdTellsWhatWasTracedBeforeAsLate(t *testing.T) {
	var gaps []string
	s := followUnnamed(t, gapsOf(&gaps, accepted))
	s.Window.Tracing(tracedEtcd, 10)
	missed(s.Window, 11, 12)
	s.Window.Ended(tracedEtcd)
	s.Window.Tracing(tracedEtcd+1, 14)
	s.takeOne(t, 11, 12, 13, 14)
	s.flushLast(t.Context())
	assert.Equal(t, []string{"authors of 2 changes in revisions 11..12 missing: late", "authors of 2 changes in revisions 13..14 missing: untraced"}, gaps)
	of := s.coverage.all()[1]
	assert.EqualValues(t, 2, of[join.Late].count)
	assert.EqualValues(t, 2, of[join.Untraced].count)
}

// points are those of the coverage, by cluster and outcome.
func (s *session) points(t *testing.T) map[string]map[string]int64 {
	t.Helper()
	var offered pmetric.Metrics
	s.Metrics = func(_ context.Context, m pmetric.Metrics) { offered = m }
	began := time.Now()
	s.emitCoverage(t.Context(), began)
	all := map[string]map[string]int64{}
	for _, rm := range offered.ResourceMetrics().All() {
		m := rm.ScopeMetrics().At(0).Metrics().At(0)
		require.Equal(t, "etcd.change.signed", m.Name())
		require.Equal(t, pmetric.AggregationTemporalityCumulative, m.Sum().AggregationTemporality())
		require.True(t, m.Sum().IsMonotonic())
		of := map[string]int64{}
		for _, dp := range m.Sum().DataPoints().All() {
			outcome, _ := dp.Attributes().Get("etcd.author.outcome")
			of[outcome.Str()] = dp.IntValue()
			assert.Equal(t, pcommon.NewTimestampFromTime(began), dp.Timestamp())
			assert.Less(t, dp.StartTimestamp(), dp.Timestamp())
		}
		id, _ := rm.Resource().Attributes().Get("etcd.cluster.id")
		all[id.Str()] = of
	}
	return all
}

func TestTheCoverageCountsWhatWasDeliveredFromZeroOnByCluster(t *testing.T) {
	var offers int
	var refusal error
	s := follow(t, Bounds{MaxRecords: 5, MaxBytes: 1 << 20, MaxDelay: time.Hour}, func(context.Context, plog.Logs) error { offers++; return refusal })
	s.Resource.Attributes = metadata.DefaultResourceAttributesConfig()
	s.Builder = metadata.NewMetricsBuilder(metadata.NewDefaultMetricsBuilderConfig(), receivertest.NewNopSettings(metadata.Type))
	s.Window = window()
	s.pending = s.newBatch()
	const one, two = "0000000000000001", "0000000000000002"
	none := map[string]int64{"joined": 0, "elsewhere": 0, "missed": 0, "late": 0, "untraced": 0}
	assert.Equal(t, map[string]map[string]int64{one: none}, s.points(t))

	refusal = context.Canceled
	require.ErrorIs(t, s.takeEvents(t, changes()), context.Canceled)
	assert.Equal(t, map[string]map[string]int64{one: none}, s.points(t), "the next session reads it again")
	refusal = nil
	s.pending = s.newBatch()
	require.NoError(t, s.takeEvents(t, changes()))
	some := map[string]int64{"joined": 1, "elsewhere": 1, "missed": 2, "late": 0, "untraced": 1}
	assert.Equal(t, map[string]map[string]int64{one: some}, s.points(t))

	s.identify(2)
	assert.Equal(t, map[string]map[string]int64{one: some, two: none}, s.points(t))

	off := metadata.NewDefaultMetricsBuilderConfig()
	off.Metrics.EtcdChangeSigned.Enabled = false
	s.Builder = metadata.NewMetricsBuilder(off, receivertest.NewNopSettings(metadata.Type))
	s.Metrics = func(context.Context, pmetric.Metrics) { t.Error("switched off") }
	s.emitCoverage(t.Context(), time.Now())
}
