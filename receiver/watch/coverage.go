// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/otel/metric"

	"github.com/etcdreceiver/etcdreceiver/internal/join"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

// tally is how many changes there were, by what is known of their author.
type tally [len(join.Outcomes)]counted

// counted is a number of changes and the revisions they lie in.
type counted struct{ from, to, count int64 }

func (c *counted) add(o counted) {
	switch {
	case o.count == 0:
		return
	case c.count == 0:
		*c = o
		return
	}
	c.from, c.to, c.count = min(c.from, o.from), max(c.to, o.to), c.count+o.count
}

// coverage is the tally of each cluster since the start. All prefixes count into it.
type coverage struct {
	mu       sync.Mutex
	clusters map[uint64]tally
}

func (c *coverage) add(cluster uint64, more tally) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clusters == nil {
		c.clusters = map[uint64]tally{}
	}
	sum := c.clusters[cluster]
	for outcome := range sum {
		sum[outcome].add(more[outcome])
	}
	c.clusters[cluster] = sum
}

func (c *coverage) all() map[uint64]tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.clusters)
}

// tellCoverage makes metrics until ctx ends.
func (w *Watcher) tellCoverage(ctx context.Context) {
	tick := time.NewTicker(w.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			w.emitCoverage(ctx, now)
		}
	}
}

// emitCoverage offers what was counted. There is nothing before a cluster is known.
func (w *Watcher) emitCoverage(ctx context.Context, now time.Time) {
	metrics, all := pmetric.NewMetrics(), w.coverage.all()
	for _, cluster := range slices.Sorted(maps.Keys(all)) {
		for outcome, changes := range all[cluster] {
			w.Builder.RecordEtcdChangeSignedDataPoint(pcommon.NewTimestampFromTime(now), changes.count, metadata.MapAttributeEtcdAuthorOutcome[join.Outcomes[outcome]])
		}
		w.Builder.Emit(metadata.WithResource(w.Resource.Cluster(cluster))).ResourceMetrics().MoveAndAppendTo(metrics.ResourceMetrics())
	}
	if metrics.ResourceMetrics().Len() > 0 { // else the user has switched it off
		w.Metrics(ctx, metrics)
	}
}

// signed counts what was told of authors, when it has left.
func (s *session) signed(ctx context.Context, batch tally) {
	s.coverage.add(s.clusterID, batch)
	for outcome, changes := range batch {
		if changes.count > 0 {
			s.Telemetry.ReceiverEtcdChangesSigned.Add(ctx, changes.count, outcomes[outcome])
		}
	}
	s.unnamed.add(batch)
}

var outcomes = func() (sets [len(join.Outcomes)]metric.MeasurementOption) {
	for i, name := range join.Outcomes {
		sets[i] = attributeSet("outcome", name)
	}
	return sets
}()
