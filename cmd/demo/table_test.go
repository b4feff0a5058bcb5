// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// member is one resource as the receiver emits it.
type member struct {
	id, name, version, state, role string
	size, index, lag, term         int64
}

func batch(members ...member) pmetric.Metrics {
	md := pmetric.NewMetrics()
	// Metrics about the cluster have no member id and no row.
	cluster := md.ResourceMetrics().AppendEmpty()
	cluster.Resource().Attributes().PutStr("etcd.cluster.name", "demo")
	gauge(cluster.ScopeMetrics().AppendEmpty().Metrics(), "etcd.revision.current", 9)
	for _, m := range members {
		rm := md.ResourceMetrics().AppendEmpty()
		rm.Resource().Attributes().PutStr("etcd.member.id", m.id)
		put(rm.Resource().Attributes(), "etcd.member.name", m.name)
		put(rm.Resource().Attributes(), "service.version", m.version)
		metrics := rm.ScopeMetrics().AppendEmpty().Metrics()
		states(metrics, "etcd.member.health", "etcd.member.state", m.state, "healthy", "unhealthy", "unreachable")
		states(metrics, "etcd.member.role", "etcd.member.role", m.role, "leader", "follower", "learner")
		if m.state == "unreachable" {
			continue
		}
		sum := metrics.AppendEmpty()
		sum.SetName("etcd.db.size")
		sum.SetEmptySum().DataPoints().AppendEmpty().SetIntValue(m.size)
		gauge(metrics, "etcd.raft.index.applied", m.index)
		gauge(metrics, "etcd.raft.lag", m.lag)
		gauge(metrics, "etcd.raft.term", m.term)
	}
	return md
}

func put(attributes pcommon.Map, name, value string) {
	if value != "" {
		attributes.PutStr(name, value)
	}
}

func gauge(metrics pmetric.MetricSlice, name string, value int64) {
	metric := metrics.AppendEmpty()
	metric.SetName(name)
	metric.SetEmptyGauge().DataPoints().AppendEmpty().SetIntValue(value)
}

// states adds a metric with one point a state: 1 for the current one.
func states(metrics pmetric.MetricSlice, name, attribute, current string, all ...string) {
	metric := metrics.AppendEmpty()
	metric.SetName(name)
	points := metric.SetEmptySum().DataPoints()
	for _, state := range all {
		point := points.AppendEmpty()
		point.Attributes().PutStr(attribute, state)
		if state == current {
			point.SetIntValue(1)
		}
	}
}

func TestTableShowsTheLastReportOfEachMember(t *testing.T) {
	n1 := member{"a1", "n1", "3.6.16", "healthy", "leader", 20992, 123, 0, 2}
	n2 := member{"b2", "n2", "3.6.16", "healthy", "follower", 3 << 20, 121, 2, 2}
	n3 := member{"c3", "n3", "3.7.3", "unhealthy", "learner", 100, 7, 116, 2}
	lost := member{id: "a1", name: "n1", state: "unreachable"}
	unnamed := member{id: "d4", state: "unreachable"}

	for name, test := range map[string]struct {
		batches []pmetric.Metrics
		want    string
	}{
		"nothing yet": {nil, `
MEMBER  STATE  ROLE  VERSION  DB SIZE  RAFT INDEX  LAG  TERM
`},
		"all states, sorted by name": {[]pmetric.Metrics{batch(n3, n1, n2)}, `
MEMBER  STATE      ROLE      VERSION  DB SIZE   RAFT INDEX  LAG  TERM
n1      healthy    leader    3.6.16   20.5 KiB  123         0    2
n2      healthy    follower  3.6.16   3.0 MiB   121         2    2
n3      unhealthy  learner   3.7.3    100 B     7           116  2
`},
		"a lost member shows no stale numbers, an absent one keeps its row": {[]pmetric.Metrics{batch(n1, n2), batch(lost)}, `
MEMBER  STATE        ROLE      VERSION  DB SIZE  RAFT INDEX  LAG  TERM
n1      unreachable  -         -        -        -           -    -
n2      healthy      follower  3.6.16   3.0 MiB  121         2    2
`},
		"a member without a name": {[]pmetric.Metrics{batch(unnamed)}, `
MEMBER  STATE        ROLE  VERSION  DB SIZE  RAFT INDEX  LAG  TERM
d4      unreachable  -     -        -        -           -    -
`},
	} {
		t.Run(name, func(t *testing.T) {
			table := newTable()
			for _, md := range test.batches {
				table.update(md)
			}
			var lines []string
			for _, line := range table.lines() {
				lines = append(lines, strings.TrimRight(line, " "))
			}
			assert.Equal(t, test.want, strings.Join(lines, "\n"))
		})
	}
}

func TestMemberCountsAsReportedOnlyOnceItAnswered(t *testing.T) {
	table := newTable()
	table.update(batch(member{id: "a1", name: "n1", state: "unreachable"}, member{id: "b2", name: "n2", state: "healthy"}))
	assert.Equal(t, []string{"n2"}, table.report().answered)
	table.update(batch(member{id: "a1", name: "n1", state: "healthy"}, member{id: "b2", name: "n2", state: "unreachable"}))
	assert.Equal(t, []string{"n1", "n2"}, table.report().answered)
	assert.Equal(t, 2, table.report().batches)
	assert.Equal(t, 34, table.report().points)

	table.collectorCrashed()
	assert.Empty(t, table.report().answered)
	table.update(batch(member{id: "b2", name: "n2", state: "healthy"}))
	assert.Equal(t, []string{"n2"}, table.report().answered, "the next collector has not asked n1")
}
