// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"strconv"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

// Origin is how we learned of a key's state.
type Origin int

const (
	// Watch is a change that etcd told as it happened, or from its history.
	Watch Origin = 0
	// Snapshot is a key that existed when we started.
	Snapshot = Origin(metadata.AttributeEtcdKvOriginSnapshot)
	// Resync is a key that changed in a gap: what happened in between is lost.
	Resync = Origin(metadata.AttributeEtcdKvOriginResync)
)

// String is the value of the attribute etcd.kv.origin, "" for Watch.
func (o Origin) String() string { return metadata.AttributeEtcdKvOrigin(o).String() }

// Snapshot appends the record that ends the existing keys of a prefix: all of them
// were told, as of that revision. It tells false if the user switched it off.
func (b *Batch) Snapshot(prefix string, origin Origin, revision int64, keys int) bool {
	if !b.format.Events.EtcdWatchSnapshot.Enabled {
		return false
	}
	lr := b.add("etcd.watch.snapshot", plog.SeverityNumberInfo, 4)
	attrs := lr.Attributes()
	attrs.PutStr("etcd.kv.origin", origin.String())
	attrs.PutInt("etcd.snapshot.count", int64(keys))
	attrs.PutInt("etcd.snapshot.revision", revision)
	shown := putPrefix(attrs, prefix)

	s := strconv.AppendInt(b.scratch, int64(keys), 10)
	if origin == Resync {
		s = appendOf(append(s, " keys"...), shown)
		s = append(s, " that changed in the gap"...)
	} else {
		s = appendOf(append(s, " existing keys"...), shown)
	}
	s = append(s, " told as of revision "...)
	b.say(lr, strconv.AppendInt(s, revision, 10))
	return true
}
