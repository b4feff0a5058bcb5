// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"fmt"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// LeaderChanged appends: another member leads, or (now.ID 0) none does. before.ID
// is 0 if there was none.
func (b *Batch) LeaderChanged(before, now Member, term uint64) {
	if !b.format.Events.EtcdLeaderChanged.Enabled {
		return
	}
	severity := plog.SeverityNumberInfo
	if now.ID == 0 {
		severity = plog.SeverityNumberWarn
	}
	lr := b.add("etcd.leader.changed", severity, 5)
	lr.SetTimestamp(b.observed)
	attrs := lr.Attributes()
	attrs.PutInt("etcd.raft.term", int64(term))
	s := b.scratch
	if now.ID != 0 {
		attrs.PutStr("etcd.raft.leader.id", resource.ID(now.ID))
		attrs.PutStr("etcd.raft.leader.name", now.Name)
		s = fmt.Appendf(s, "%s leads in term %d", now, term)
	} else {
		s = fmt.Appendf(s, "no leader in term %d", term)
	}
	if before.ID != 0 {
		attrs.PutStr("etcd.raft.leader.prev_id", resource.ID(before.ID))
		attrs.PutStr("etcd.raft.leader.prev_name", before.Name)
		s = fmt.Appendf(s, ", before %s", before)
	}
	b.say(lr, s)
}
