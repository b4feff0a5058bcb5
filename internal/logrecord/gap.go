// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"fmt"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

// Gap is a range of revisions that we know we did not deliver, or not with their
// authors.
type Gap struct {
	// From and To are the first and the last missing revision, 0 where it is not
	// known: From if what we had delivered is forgotten, To if the history it
	// belonged to is gone.
	From, To int64
	// Next is the revision at which the stream goes on, 0 if not known.
	Next int64
	// Count of missing changes, 0 if not known.
	Count  int
	Reason metadata.AttributeEtcdGapReason
}

// Gap appends the record of a gap in the changes of a prefix. It tells false if the
// user switched it off.
func (b *Batch) Gap(prefix string, g Gap) bool {
	return b.gap(metadata.AttributeEtcdGapSourceWatch, prefix, g, g.missing())
}

// Unnamed appends: so many changes of a prefix, between these revisions, are there,
// but not who made them. It tells false if the user switched gaps off.
func (b *Batch) Unnamed(prefix string, g Gap) bool {
	return b.gap(metadata.AttributeEtcdGapSourceAuthor, prefix, g, fmt.Sprintf("authors of %d changes in %s", g.Count, g.missing()))
}

func (b *Batch) gap(source metadata.AttributeEtcdGapSource, prefix string, g Gap, missing string) bool {
	if !b.format.Events.EtcdWatchGap.Enabled {
		return false
	}
	lr := b.add("etcd.watch.gap", plog.SeverityNumberWarn, 7)
	attrs := lr.Attributes()
	attrs.PutStr("etcd.gap.source", source.String())
	attrs.PutStr("etcd.gap.reason", g.Reason.String())
	if g.From != 0 {
		attrs.PutInt("etcd.gap.from_revision", g.From)
	}
	if g.To != 0 {
		attrs.PutInt("etcd.gap.to_revision", g.To)
	}
	if g.Next != 0 {
		attrs.PutInt("etcd.gap.next_revision", g.Next)
	}
	if g.Count != 0 {
		attrs.PutInt("etcd.gap.count", int64(g.Count))
	}
	shown := putPrefix(attrs, prefix)

	s := appendOf(append(b.scratch, missing...), shown)
	s = fmt.Appendf(s, " missing: %s", g.Reason)
	if g.Next != 0 {
		s = fmt.Appendf(s, "; the stream goes on at %d", g.Next)
	}
	b.say(lr, s)
	return true
}

func (g Gap) missing() string {
	switch {
	case g.From == 0 && g.To == 0:
		return "changes"
	case g.From == 0:
		return fmt.Sprintf("changes up to revision %d", g.To)
	case g.To == 0:
		return fmt.Sprintf("revisions %d..", g.From)
	default:
		return fmt.Sprintf("revisions %d..%d", g.From, g.To)
	}
}

// RequestsLost appends: that many requests were seen in the kernel and did not
// get here. It tells false if the user switched gaps off.
func (b *Batch) RequestsLost(count int64) bool {
	if !b.format.Events.EtcdWatchGap.Enabled {
		return false
	}
	lr := b.add("etcd.watch.gap", plog.SeverityNumberWarn, 4)
	lr.SetTimestamp(b.observed)
	attrs := lr.Attributes()
	attrs.PutStr("etcd.gap.source", metadata.AttributeEtcdGapSourceEbpf.String())
	attrs.PutStr("etcd.gap.reason", metadata.AttributeEtcdGapReasonOverflow.String())
	attrs.PutInt("etcd.gap.count", count)
	b.say(lr, fmt.Appendf(b.scratch, "%d records of requests missing: overflow", count))
	return true
}
