// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"cmp"
	"maps"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

// view is what is known about the cluster after a collection.
type view struct {
	clusterID uint64
	members   map[uint64]*member
	// list is the member list, as the member that has applied most sees it; nil
	// before the first answer.
	list []*pb.Member
	// leads and raised are the last that is known of leader and alarms, also from
	// before the members fell silent. See remember.
	leads  leadership
	raised map[alarm]bool
}

// leadership is who leads, and in which term. An id of 0 means that nobody does.
type leadership struct {
	id, term uint64
	known    bool
}

// copy makes a view that later collections do not change.
func (v *view) copy() view {
	c := *v
	c.members = make(map[uint64]*member, len(v.members))
	for id, m := range v.members {
		known := *m
		c.members[id] = &known
	}
	return c
}

// sorted gives the members in the order of their names.
func (v *view) sorted() []*member {
	return slices.SortedFunc(maps.Values(v.members), func(a, b *member) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.id, b.id))
	})
}

// settle derives what needs all members: the member list, and their names.
func (v *view) settle() {
	var newest *member
	for _, m := range v.sorted() {
		if m.members != nil && (newest == nil || m.applied > newest.applied) {
			newest = m
		}
	}
	if newest == nil {
		return
	}
	v.list = newest.members
	listed := map[uint64]bool{}
	for _, l := range v.list {
		listed[l.ID] = true
		if m := v.members[l.ID]; m != nil {
			m.name = l.Name
		}
	}
	for id := range v.members {
		if !listed[id] {
			delete(v.members, id)
		}
	}
}

// committed is the highest committed index that a member reports.
func (v *view) committed() uint64 {
	var highest uint64
	for _, m := range v.members {
		if m.reachable() {
			highest = max(highest, m.committed)
		}
	}
	return highest
}

// remember takes over from the view before what silence must not wipe out: nobody
// who could tell of leader or alarms answers.
func (v *view) remember(before *view) {
	if v.leads = v.leader(); !v.leads.known {
		v.leads = before.leads
	}
	if v.raised = v.alarms(); !v.tellsAlarms() {
		v.raised = before.raised
	}
}

// leader is who leads in the highest term that is reported.
func (v *view) leader() leadership {
	var l leadership
	for _, m := range v.members {
		// A member whose Status is denied knows that there is a leader, but not who.
		if !m.reachable() || !m.known || m.hasLeader && m.leader == 0 {
			continue
		}
		if !l.known || m.term > l.term || m.term == l.term && l.id == 0 {
			l = leadership{m.leader, m.term, true}
		}
	}
	return l
}

// versions are the distinct etcd versions of the members that answer.
func (v *view) versions() int {
	seen := map[string]bool{}
	for _, m := range v.members {
		if m.reachable() && m.version != "" {
			seen[m.version] = true
		}
	}
	return len(seen)
}

// quorumMargin is how many healthy voters there are beyond the quorum. It is not
// known unless all voters have been asked.
func (v *view) quorumMargin() (margin int, known bool) {
	voters, healthy := 0, 0
	for _, l := range v.list {
		if l.IsLearner {
			continue
		}
		voters++
		m := v.members[l.ID]
		if m == nil {
			return 0, false
		}
		if m.state == metadata.AttributeEtcdMemberStateHealthy {
			healthy++
		}
	}
	return healthy - (voters/2 + 1), voters > 0
}

// alarms are the alarms that are raised, as any member reports them: etcd keeps
// them in the replicated store.
func (v *view) alarms() map[alarm]bool {
	out := map[alarm]bool{}
	for _, m := range v.members {
		for _, a := range m.alarms {
			if kind, ok := alarmTypes[a.Alarm]; ok {
				out[alarm{a.MemberID, kind}] = true
			}
		}
	}
	return out
}

// tellsAlarms tells whether any member has said which alarms there are.
func (v *view) tellsAlarms() bool {
	for _, m := range v.members {
		if m.tellsAlarms {
			return true
		}
	}
	return false
}

// alarm is one kind of alarm of one member.
type alarm struct {
	member uint64
	kind   metadata.AttributeEtcdAlarmType
}

func (a alarm) compare(b alarm) int {
	return cmp.Or(cmp.Compare(a.member, b.member), cmp.Compare(a.kind, b.kind))
}

// typeOf is the membership of a listed member.
func typeOf(m *pb.Member) metadata.AttributeEtcdMemberType {
	if m.IsLearner {
		return metadata.AttributeEtcdMemberTypeLearner
	}
	return metadata.AttributeEtcdMemberTypeVoter
}
