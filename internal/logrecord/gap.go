// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"fmt"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

// Gap is a range of revisions that we know we did not deliver.
type Gap struct {
	// From and To are the first and the last missing revision. To is 0 if the end
	// is not known, because the history it belonged to is gone.
	From, To int64
	// Count of missing changes, 0 if not known.
	Count  int
	Reason metadata.AttributeEtcdGapReason
}

// Gap appends the record of a gap. It tells false if the user switched it off.
func (b *Batch) Gap(g Gap) bool {
	if !b.format.Events.EtcdWatchGap.Enabled {
		return false
	}
	lr := b.add("etcd.watch.gap", plog.SeverityNumberWarn, 5)
	attrs := lr.Attributes()
	attrs.PutStr("etcd.gap.source", metadata.AttributeEtcdGapSourceWatch.String())
	attrs.PutStr("etcd.gap.reason", g.Reason.String())
	attrs.PutInt("etcd.gap.from_revision", g.From)
	to := ""
	if g.To != 0 {
		attrs.PutInt("etcd.gap.to_revision", g.To)
		to = fmt.Sprint(g.To)
	}
	if g.Count != 0 {
		attrs.PutInt("etcd.gap.count", int64(g.Count))
	}
	b.say(lr, fmt.Appendf(b.sentence, "revisions %d..%s missing: %s", g.From, to, g.Reason))
	return true
}
