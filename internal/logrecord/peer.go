// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"fmt"
	"net/netip"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// PeerLink is what leads from the member that tells to another one.
type PeerLink struct {
	From    string // name of the member that tells
	ID      uint64
	Name    string
	Address netip.AddrPort // where it listens for members; not valid: not known
}

func (b *Batch) peer(enabled metadata.EventConfig, name string, severity plog.SeverityNumber, l *PeerLink) (plog.LogRecord, bool) {
	if !enabled.Enabled {
		return plog.LogRecord{}, false
	}
	lr := b.add(name, severity, 6)
	lr.SetTimestamp(b.observed)
	attrs := lr.Attributes()
	attrs.PutStr("etcd.peer.id", resource.ID(l.ID))
	putText(attrs, "etcd.peer.name", l.Name)
	if l.Address.IsValid() {
		attrs.PutStr("network.peer.address", l.Address.Addr().String())
		attrs.PutInt("network.peer.port", int64(l.Address.Port()))
	}
	return lr, true
}

func (l *PeerLink) String() string {
	m := Member{ID: l.ID, Name: l.Name}
	if !l.Address.IsValid() {
		return m.String()
	}
	return m.String() + " at " + l.Address.String()
}

var endTexts = map[metadata.AttributeEtcdNetworkEnd]string{
	metadata.AttributeEtcdNetworkEndClosed:   "the last one was closed",
	metadata.AttributeEtcdNetworkEndReset:    "the last one was reset",
	metadata.AttributeEtcdNetworkEndTimedOut: "the last one timed out",
}

// PeerUnreachable appends: no connection leads to another member any more, as of
// since.
func (b *Batch) PeerUnreachable(l *PeerLink, why metadata.AttributeEtcdNetworkEnd, since time.Time) {
	lr, ok := b.peer(b.format.Events.EtcdPeerUnreachable, "etcd.peer.unreachable", plog.SeverityNumberWarn, l)
	if !ok {
		return
	}
	lr.SetTimestamp(pcommon.NewTimestampFromTime(since))
	lr.Attributes().PutStr("etcd.network.end", why.String())
	if why == metadata.AttributeEtcdNetworkEndNoAnswer {
		b.say(lr, fmt.Appendf(b.scratch, "member %s does not answer %s", l, l.From))
		return
	}
	s := fmt.Appendf(b.scratch, "no connection from %s to member %s", l.From, l)
	if text := endTexts[why]; text != "" {
		s = append(append(s, ": "...), text...)
	}
	b.say(lr, s)
}

// PeerReachable appends: one does again, after that long.
func (b *Batch) PeerReachable(l *PeerLink, after time.Duration) {
	if lr, ok := b.peer(b.format.Events.EtcdPeerReachable, "etcd.peer.reachable", plog.SeverityNumberInfo, l); ok {
		lr.Attributes().PutDouble("etcd.peer.unreachable_duration", after.Seconds())
		b.say(lr, fmt.Appendf(b.scratch, "%s is connected to member %s again after %s", l.From, l, after.Round(100*time.Millisecond)))
	}
}
