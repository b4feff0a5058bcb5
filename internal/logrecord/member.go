// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"fmt"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// Member is the member an event is about.
type Member struct {
	ID   uint64
	Name string
}

// String is the name, or the id of a member that has none yet.
func (m Member) String() string {
	if m.Name == "" {
		return resource.ID(m.ID)
	}
	return m.Name
}

func (m Member) put(attrs pcommon.Map) {
	attrs.PutStr("etcd.member.id", resource.ID(m.ID))
	if m.Name != "" {
		attrs.PutStr("etcd.member.name", m.Name)
	}
}

func putServer(attrs pcommon.Map, e etcdclient.Endpoint) {
	address, port := e.Server()
	if address != "" {
		attrs.PutStr("server.address", address)
	}
	if port != 0 {
		attrs.PutInt("server.port", int64(port))
	}
}

// about starts the record of an event about a member.
func (b *Batch) about(enabled metadata.EventConfig, name string, severity plog.SeverityNumber, m Member) (plog.LogRecord, bool) {
	if !enabled.Enabled {
		return plog.LogRecord{}, false
	}
	lr := b.add(name, severity, 6)
	lr.SetTimestamp(b.observed)
	m.put(lr.Attributes())
	return lr, true
}

// MemberAdded appends: a member joined the member list.
func (b *Batch) MemberAdded(m Member, kind metadata.AttributeEtcdMemberType) {
	if lr, ok := b.about(b.format.Events.EtcdMemberAdded, "etcd.member.added", plog.SeverityNumberInfo, m); ok {
		lr.Attributes().PutStr("etcd.member.type", kind.String())
		b.say(lr, fmt.Appendf(b.scratch, "member %s added as %s", m, kind))
	}
}

// MemberRemoved appends: a member left the member list.
func (b *Batch) MemberRemoved(m Member, kind metadata.AttributeEtcdMemberType) {
	if lr, ok := b.about(b.format.Events.EtcdMemberRemoved, "etcd.member.removed", plog.SeverityNumberInfo, m); ok {
		lr.Attributes().PutStr("etcd.member.type", kind.String())
		b.say(lr, fmt.Appendf(b.scratch, "member %s (%s) removed", m, kind))
	}
}

// MemberPromoted appends: a learner became a voter.
func (b *Batch) MemberPromoted(m Member) {
	if lr, ok := b.about(b.format.Events.EtcdMemberPromoted, "etcd.member.promoted", plog.SeverityNumberInfo, m); ok {
		lr.Attributes().PutStr("etcd.member.type", metadata.AttributeEtcdMemberTypeVoter.String())
		b.say(lr, fmt.Appendf(b.scratch, "member %s promoted from learner to voter", m))
	}
}

// MemberUnreachable appends: a member does not answer any more. errorType is the
// reason, as etcdclient.ErrorType gives it.
func (b *Batch) MemberUnreachable(m Member, e etcdclient.Endpoint, errorType string) {
	if lr, ok := b.about(b.format.Events.EtcdMemberUnreachable, "etcd.member.unreachable", plog.SeverityNumberWarn, m); ok {
		lr.Attributes().PutStr("error.type", errorType)
		putServer(lr.Attributes(), e)
		at := ""
		if e != (etcdclient.Endpoint{}) { // a member that has not started has told none
			at = " at " + e.Address()
		}
		b.say(lr, fmt.Appendf(b.scratch, "member %s does not answer%s: %s", m, at, errorType))
	}
}

// MemberReachable appends: a member answers again, after that long.
func (b *Batch) MemberReachable(m Member, e etcdclient.Endpoint, after time.Duration) {
	if lr, ok := b.about(b.format.Events.EtcdMemberReachable, "etcd.member.reachable", plog.SeverityNumberInfo, m); ok {
		lr.Attributes().PutDouble("etcd.member.unreachable_duration", after.Seconds())
		putServer(lr.Attributes(), e)
		b.say(lr, fmt.Appendf(b.scratch, "member %s answers again after %s", m, after.Round(100*time.Millisecond)))
	}
}

// VersionChanged appends: a member runs another etcd version.
func (b *Batch) VersionChanged(m Member, before, now string) {
	if lr, ok := b.about(b.format.Events.EtcdVersionChanged, "etcd.version.changed", plog.SeverityNumberInfo, m); ok {
		lr.Attributes().PutStr("etcd.member.version", now)
		lr.Attributes().PutStr("etcd.member.prev_version", before)
		b.say(lr, fmt.Appendf(b.scratch, "member %s runs etcd %s, before %s", m, now, before))
	}
}

// AlarmRaised appends: a member raised an alarm.
func (b *Batch) AlarmRaised(m Member, alarm metadata.AttributeEtcdAlarmType) {
	if lr, ok := b.about(b.format.Events.EtcdAlarmRaised, "etcd.alarm.raised", plog.SeverityNumberError, m); ok {
		lr.Attributes().PutStr("etcd.alarm.type", alarm.String())
		b.say(lr, fmt.Appendf(b.scratch, "member %s raised the alarm %s", m, alarm))
	}
}

// AlarmCleared appends: an alarm is not raised any more.
func (b *Batch) AlarmCleared(m Member, alarm metadata.AttributeEtcdAlarmType) {
	if lr, ok := b.about(b.format.Events.EtcdAlarmCleared, "etcd.alarm.cleared", plog.SeverityNumberInfo, m); ok {
		lr.Attributes().PutStr("etcd.alarm.type", alarm.String())
		b.say(lr, fmt.Appendf(b.scratch, "member %s cleared the alarm %s", m, alarm))
	}
}

// Status is what etcd.member.status says of a member.
type Status struct {
	State              metadata.AttributeEtcdMemberState
	Role               metadata.AttributeEtcdMemberRole // 0 if nothing but State is known
	Version            string
	Leader             uint64 // 0 if there is none
	Term               uint64
	Committed, Applied uint64
	DBSize, DBUsage    int64
}

// MemberStatus appends the periodic status of a member.
func (b *Batch) MemberStatus(m Member, s Status) {
	lr, ok := b.about(b.format.Events.EtcdMemberStatus, "etcd.member.status", plog.SeverityNumberInfo, m)
	if !ok {
		return
	}
	attrs := lr.Attributes()
	attrs.PutStr("etcd.member.state", s.State.String())
	if s.Role == 0 { // nothing but the state is known
		b.say(lr, fmt.Appendf(b.scratch, "member %s %s", m, s.State))
		return
	}
	attrs.PutStr("etcd.member.role", s.Role.String())
	attrs.PutStr("etcd.member.version", s.Version)
	if s.Leader != 0 {
		attrs.PutStr("etcd.raft.leader.id", resource.ID(s.Leader))
	}
	attrs.PutInt("etcd.raft.term", int64(s.Term))
	attrs.PutInt("etcd.raft.index.committed", int64(s.Committed))
	attrs.PutInt("etcd.raft.index.applied", int64(s.Applied))
	attrs.PutInt("etcd.db.size", s.DBSize)
	attrs.PutInt("etcd.db.usage", s.DBUsage)
	b.say(lr, fmt.Appendf(b.scratch, "member %s %s, %s, term %d, applied %d, db %.1f MiB", m, s.State, s.Role, s.Term, s.Applied, float64(s.DBSize)/(1<<20)))
}
