// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"strconv"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/redact"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

const (
	eventPut    = "etcd.kv.put"
	eventDelete = "etcd.kv.delete"
)

// Change appends the record of one event of a watch. subIndex is its position
// inside its revision. It tells false, and appends nothing, if the user switched
// this kind of event off. The event's bytes are copied.
//
// The record has no Timestamp: etcd keeps no wall time for a change.
func (b *Batch) Change(ev *mvccpb.Event, subIndex int) bool {
	if ev.Type == mvccpb.DELETE {
		if !b.format.Events.EtcdKvDelete.Enabled {
			return false
		}
		b.delete(ev, subIndex)
		return true
	}
	if !b.format.Events.EtcdKvPut.Enabled {
		return false
	}
	b.put(ev, subIndex)
	return true
}

func (b *Batch) put(ev *mvccpb.Event, subIndex int) {
	kv, policy := ev.Kv, b.format.Values.For(ev.Kv.Key)
	key, value := keyText(kv.Key), b.format.Values.Apply(policy, kv.Value)

	lr := b.add(eventPut, plog.SeverityNumberInfo, 10)
	attrs := lr.Attributes()
	attrs.PutStr("etcd.key", key)
	attrs.PutInt("etcd.kv.create_revision", kv.CreateRevision)
	attrs.PutInt("etcd.kv.mod_revision", kv.ModRevision)
	attrs.PutInt("etcd.kv.sub_index", int64(subIndex))
	attrs.PutInt("etcd.kv.version", kv.Version)
	putLease(attrs, kv.Lease)
	putValue(attrs, currentValue, value)
	b.putPrevious(attrs, policy, ev.PrevKv)

	s := append(b.sentence, "put "...)
	s = appendKeyAndRevision(s, key, kv.ModRevision)
	s = append(s, " ("...)
	if value.HasSize {
		s = strconv.AppendInt(s, int64(value.Size), 10)
		s = append(s, " B, "...)
	}
	s = append(s, "version "...)
	s = strconv.AppendInt(s, kv.Version, 10)
	b.say(lr, append(s, ')'))
}

// delete: etcd sends only key and revision of a deleted key; all else comes from
// the previous value, if it was asked for and is not compacted.
func (b *Batch) delete(ev *mvccpb.Event, subIndex int) {
	policy := b.format.Values.For(ev.Kv.Key)
	key := keyText(ev.Kv.Key)

	lr := b.add(eventDelete, plog.SeverityNumberInfo, 7)
	attrs := lr.Attributes()
	attrs.PutStr("etcd.key", key)
	attrs.PutInt("etcd.kv.mod_revision", ev.Kv.ModRevision)
	attrs.PutInt("etcd.kv.sub_index", int64(subIndex))
	if ev.PrevKv != nil {
		attrs.PutInt("etcd.kv.create_revision", ev.PrevKv.CreateRevision)
		putLease(attrs, ev.PrevKv.Lease)
	}
	was := b.putPrevious(attrs, policy, ev.PrevKv)

	s := append(b.sentence, "delete "...)
	s = appendKeyAndRevision(s, key, ev.Kv.ModRevision)
	if was.HasSize {
		s = append(s, " (was "...)
		s = strconv.AppendInt(s, int64(was.Size), 10)
		s = append(s, " B)"...)
	}
	b.say(lr, s)
}

func appendKeyAndRevision(s []byte, key string, revision int64) []byte {
	s = append(s, key...)
	s = append(s, " rev "...)
	return strconv.AppendInt(s, revision, 10)
}

func (b *Batch) putPrevious(attrs pcommon.Map, policy redact.Policy, prev *mvccpb.KeyValue) redact.Value {
	if prev == nil {
		return redact.Value{}
	}
	attrs.PutInt("etcd.kv.prev_mod_revision", prev.ModRevision)
	value := b.format.Values.Apply(policy, prev.Value)
	putValue(attrs, previousValue, value)
	return value
}

func putLease(attrs pcommon.Map, lease int64) {
	if lease != 0 {
		attrs.PutStr("etcd.lease.id", resource.ID(uint64(lease)))
	}
}

// valueNames are the attributes of one value.
type valueNames struct{ text, encoding, hash, size, truncated string }

var (
	currentValue  = valueNames{"etcd.kv.value", "etcd.kv.value_encoding", "etcd.kv.value_hash", "etcd.kv.value_size", "etcd.kv.value_truncated"}
	previousValue = valueNames{"etcd.kv.prev_value", "etcd.kv.prev_value_encoding", "etcd.kv.prev_value_hash", "etcd.kv.prev_value_size", "etcd.kv.prev_value_truncated"}
)

func putValue(attrs pcommon.Map, names valueNames, v redact.Value) {
	if v.HasSize {
		attrs.PutInt(names.size, int64(v.Size))
	}
	if v.Hash != "" {
		attrs.PutStr(names.hash, v.Hash)
	}
	if v.HasText {
		attrs.PutStr(names.text, v.Text)
	}
	if v.IsBase64 {
		attrs.PutStr(names.encoding, "base64")
	}
	if v.Truncated {
		attrs.PutBool(names.truncated, true)
	}
}
