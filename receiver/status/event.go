// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"maps"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
)

// compare appends what happened between two views, in an order in which one
// thing can have caused the next.
//
// Before the first view nothing is known of leader, versions and membership, so
// they are taken as they are; a member that does not answer and an alarm that is
// raised are told at once.
func compare(before, now *view, to *logrecord.Batch) {
	first := before.list == nil
	if !first {
		compareMembership(before, now, to)
	}
	for _, m := range now.sorted() {
		compareReachability(before.members[m.id], m, to)
	}
	for _, m := range now.sorted() {
		if was := before.members[m.id]; was != nil && was.version != "" && m.version != "" && was.version != m.version {
			to.VersionChanged(m.event(), was.version, m.version)
		}
	}
	if !first {
		compareLeader(before, now, to)
	}
	compareAlarms(before, now, to)
}

func compareMembership(before, now *view, to *logrecord.Batch) {
	was, is := byID(before.list), byID(now.list)
	for _, l := range before.list {
		if is[l.ID] == nil {
			to.MemberRemoved(logrecord.Member{ID: l.ID, Name: l.Name}, typeOf(l))
		}
	}
	for _, l := range now.list {
		switch old := was[l.ID]; {
		case old == nil:
			to.MemberAdded(logrecord.Member{ID: l.ID, Name: l.Name}, typeOf(l))
		case old.IsLearner && !l.IsLearner:
			to.MemberPromoted(logrecord.Member{ID: l.ID, Name: l.Name})
		}
	}
}

func byID(list []*pb.Member) map[uint64]*pb.Member {
	out := make(map[uint64]*pb.Member, len(list))
	for _, l := range list {
		out[l.ID] = l
	}
	return out
}

func compareReachability(was, is *member, to *logrecord.Batch) {
	wasReachable := was == nil || was.reachable()
	switch {
	case wasReachable && !is.reachable():
		to.MemberUnreachable(is.event(), is.endpoint, is.errorType)
	case !wasReachable && is.reachable():
		to.MemberReachable(is.event(), is.endpoint, is.at.Sub(was.lostAt))
	}
}

func compareLeader(before, now *view, to *logrecord.Batch) {
	was, is := before.leads, now.leads
	if !was.known || !is.known || was.id == is.id {
		return
	}
	to.LeaderChanged(named(before, now, was.id), named(now, before, is.id), is.term)
}

// named finds the name of a member that one of the views knows.
func named(v, other *view, id uint64) logrecord.Member {
	for _, list := range [][]*pb.Member{v.list, other.list} {
		if l := byID(list)[id]; l != nil {
			return logrecord.Member{ID: id, Name: l.Name}
		}
	}
	return logrecord.Member{ID: id}
}

func compareAlarms(before, now *view, to *logrecord.Batch) {
	for _, a := range slices.SortedFunc(maps.Keys(now.raised), alarm.compare) {
		if !before.raised[a] {
			to.AlarmRaised(named(now, before, a.member), a.kind)
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(before.raised), alarm.compare) {
		if !now.raised[a] {
			to.AlarmCleared(named(now, before, a.member), a.kind)
		}
	}
}

// statuses appends the periodic status of the members.
func statuses(members []*member, to *logrecord.Batch) {
	for _, m := range members {
		status := logrecord.Status{State: m.state}
		if m.reachable() && m.known {
			status = logrecord.Status{
				State: m.state, Role: m.role(), Version: m.version, Leader: m.leader, Term: m.term,
				Committed: m.committed, Applied: m.applied, DBSize: m.dbSize, DBUsage: m.dbUsage,
			}
		}
		to.MemberStatus(m.event(), status)
	}
}
