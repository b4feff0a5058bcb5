// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

// member is what is known of one member after a collection.
type member struct {
	id       uint64
	name     string
	endpoint etcdclient.Endpoint // where it was asked last
	state    metadata.AttributeEtcdMemberState
	// lostAt is when it was first found not to answer.
	lostAt time.Time
	// errorType is why it does not answer.
	errorType string
	facts

	// metrics and members are the last answer's, nil while it does not answer.
	metrics exposition
	members []*pb.Member
	alarms  []*pb.AlarmMember
	// tellsAlarms is whether it answered the call that lists them.
	tellsAlarms bool
	at          time.Time // of the last answer or failure
}

// facts are what a member says about itself.
type facts struct {
	// known is false where neither Status nor /metrics answered: then only term is
	// set, if at all.
	known              bool
	version            string
	leader             uint64 // 0 if it knows none, or cannot tell who
	hasLeader          bool
	learner            bool
	leads              bool
	term               uint64
	committed, applied uint64
	revision           int64
	dbSize, dbUsage    int64
	dbLimit            int64 // 0 if it cannot tell
}

func (m *member) event() logrecord.Member { return logrecord.Member{ID: m.id, Name: m.name} }

func (m *member) reachable() bool { return m.state != metadata.AttributeEtcdMemberStateUnreachable }

func (m *member) role() metadata.AttributeEtcdMemberRole {
	switch {
	case m.learner:
		return metadata.AttributeEtcdMemberRoleLearner
	case m.leads:
		return metadata.AttributeEtcdMemberRoleLeader
	default:
		return metadata.AttributeEtcdMemberRoleFollower
	}
}

// update takes in a new answer.
func (m *member) update(a *answer) {
	m.endpoint, m.at = a.endpoint, a.at
	m.metrics, m.members, m.alarms = a.metrics, a.members, a.alarms
	m.tellsAlarms = a.tellsAlarms()
	if !a.answered() {
		m.lose(a.at, etcdclient.ErrorType(a.failed[callStatus]))
		return
	}
	m.errorType = ""
	for _, listed := range a.members {
		if listed.ID == m.id {
			m.name = listed.Name
		}
	}
	m.facts = a.facts(m.id)
	m.state = metadata.AttributeEtcdMemberStateUnhealthy
	if a.reads && (m.hasLeader || !m.known) { // a read alone proves a leader with a quorum
		m.state = metadata.AttributeEtcdMemberStateHealthy
	}
}

// lose notes that the member does not answer.
func (m *member) lose(at time.Time, errorType string) {
	if m.reachable() {
		m.lostAt = at
	}
	m.at, m.state, m.errorType = at, metadata.AttributeEtcdMemberStateUnreachable, errorType
	m.metrics, m.members, m.alarms, m.tellsAlarms = nil, nil, nil, false
}

// facts come from Status; where that is denied, from /metrics and the header.
func (a *answer) facts(id uint64) facts {
	if a.status == nil {
		return a.factsFromMetrics()
	}
	s := a.status
	f := facts{
		known: true, version: s.Version,
		leader: s.Leader, hasLeader: s.Leader != 0, leads: s.Leader == id && id != 0, learner: s.IsLearner,
		term: s.RaftTerm, committed: s.RaftIndex, applied: s.RaftAppliedIndex,
		revision: s.Header.Revision,
		dbSize:   s.DbSize, dbUsage: s.DbSizeInUse, dbLimit: s.DbSizeQuota,
	}
	if f.dbLimit == 0 { // before 3.6
		f.dbLimit, _ = a.metrics.integer(familyDBLimit)
	}
	return f
}

func (a *answer) factsFromMetrics() facts {
	number := func(family string) int64 { v, _ := a.metrics.integer(family); return v }
	f := facts{
		known:     a.metrics != nil,
		version:   a.metrics.label(familyVersion, "server_version"),
		hasLeader: number(familyHasLeader) == 1, leads: number(familyIsLeader) == 1, learner: number(familyIsLearner) == 1,
		// Called totals, these gauges are the raft indexes (server/etcdserver/server.go).
		committed: uint64(number(familyCommitted)), applied: uint64(number(familyApplied)),
		revision: number(familyRevision),
		dbSize:   number(familyDBSize), dbUsage: number(familyDBUsage), dbLimit: number(familyDBLimit),
	}
	if a.header != nil { // of MemberList: it has a term, and no revision
		f.term = a.header.RaftTerm
		if f.leads {
			f.leader = a.header.MemberId
		}
	}
	return f
}
