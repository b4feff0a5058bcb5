// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// unknown stands for what a member did not report in the last batch.
const unknown = "-"

// row is what one batch of metrics says about one member, ready to be shown.
type row struct {
	name, state, role, version, size, index, lag, term string
}

// table keeps the last report about each member. Safe for concurrent use.
type table struct {
	mu       sync.Mutex
	rows     map[string]row  // by member id
	answered map[string]bool // names of the members that were reachable at least once, since the last crash of the collector
	batches  int
	points   int
}

func newTable() *table { return &table{rows: map[string]row{}, answered: map[string]bool{}} }

// update takes the members' rows from a batch; a member that is not in it keeps its row.
func (t *table) update(md pmetric.Metrics) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.batches++
	t.points += md.DataPointCount()
	fresh := map[string]row{}
	for _, rm := range md.ResourceMetrics().All() {
		id := attribute(rm.Resource().Attributes(), "etcd.member.id")
		if id == unknown {
			continue // about the cluster
		}
		r, ok := fresh[id]
		if !ok {
			r = row{id, unknown, unknown, unknown, unknown, unknown, unknown, unknown}
		}
		if name := attribute(rm.Resource().Attributes(), "etcd.member.name"); name != unknown {
			r.name = name
		}
		r.version = attribute(rm.Resource().Attributes(), "service.version")
		for _, scope := range rm.ScopeMetrics().All() {
			for _, metric := range scope.Metrics().All() {
				r.read(metric)
			}
		}
		fresh[id] = r
	}
	for id, r := range fresh {
		t.rows[id] = r
		if r.state != unknown && r.state != "unreachable" {
			t.answered[r.name] = true
		}
	}
}

// collectorCrashed demands that every member answers the next collector too.
func (t *table) collectorCrashed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.answered)
}

// read takes the cell that the metric fills, if any.
func (r *row) read(metric pmetric.Metric) {
	var points pmetric.NumberDataPointSlice
	switch metric.Type() {
	case pmetric.MetricTypeGauge:
		points = metric.Gauge().DataPoints()
	case pmetric.MetricTypeSum:
		points = metric.Sum().DataPoints()
	default:
		return
	}
	for _, point := range points.All() {
		value := number(point)
		switch metric.Name() {
		case "etcd.member.health":
			if value != 0 {
				r.state = attribute(point.Attributes(), "etcd.member.state")
			}
		case "etcd.member.role":
			if value != 0 {
				r.role = attribute(point.Attributes(), "etcd.member.role")
			}
		case "etcd.db.size":
			r.size = sizeText(value)
		case "etcd.raft.index.applied":
			r.index = strconv.FormatInt(value, 10)
		case "etcd.raft.lag":
			r.lag = strconv.FormatInt(value, 10)
		case "etcd.raft.term":
			r.term = strconv.FormatInt(value, 10)
		}
	}
}

// lines shows the table, members by name.
func (t *table) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	rows := slices.SortedFunc(maps.Values(t.rows), func(a, b row) int { return strings.Compare(a.name, b.name) })
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nMEMBER\tSTATE\tROLE\tVERSION\tDB SIZE\tRAFT INDEX\tLAG\tTERM")
	for _, r := range rows {
		fmt.Fprintln(w, strings.Join([]string{r.name, r.state, r.role, r.version, r.size, r.index, r.lag, r.term}, "\t"))
	}
	_ = w.Flush() // a strings.Builder takes everything
	return strings.Split(text.String(), "\n")
}

// report is what the table saw in the whole run.
type report struct {
	answered        []string // names of the members that were reachable at least once, since the last crash of the collector
	batches, points int
}

func (t *table) report() report {
	t.mu.Lock()
	defer t.mu.Unlock()
	return report{slices.Sorted(maps.Keys(t.answered)), t.batches, t.points}
}

func attribute(attributes pcommon.Map, name string) string {
	if v, ok := attributes.Get(name); ok {
		return v.AsString()
	}
	return unknown
}

func number(point pmetric.NumberDataPoint) int64 {
	if point.ValueType() == pmetric.NumberDataPointValueTypeDouble {
		return int64(point.DoubleValue())
	}
	return point.IntValue()
}

// sizeText shows a size in bytes for people.
func sizeText(n int64) string {
	const kib, mib = 1 << 10, 1 << 20
	switch {
	case n < kib:
		return fmt.Sprintf("%d B", n)
	case n < mib:
		return fmt.Sprintf("%.1f KiB", float64(n)/kib)
	default:
		return fmt.Sprintf("%.1f MiB", float64(n)/mib)
	}
}
