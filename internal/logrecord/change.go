// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"math/bits"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/redact"
)

const (
	eventPut    = "etcd.kv.put"
	eventDelete = "etcd.kv.delete"
)

// Change appends the record of one change. identity is ev.Identity(), subIndex the
// change's position inside its revision. It tells false, and appends nothing, if
// the user switched this kind of event off. The event's bytes are copied.
//
// The record has no Timestamp: etcd keeps no wall time for a change.
func (b *Batch) Change(ev *Event, identity uint64, subIndex int) bool {
	if ev.Delete {
		if !b.format.Events.EtcdKvDelete.Enabled {
			return false
		}
		b.delete(ev, identity, subIndex)
		return true
	}
	if !b.format.Events.EtcdKvPut.Enabled {
		return false
	}
	b.put(ev, identity, Watch, subIndex)
	return true
}

// Existing appends the record of a key that a read found, on the terms of Change.
// It is the record of the put that made the key what it is, with the same
// log.record.uid, less what only a watch tells: position and previous value.
func (b *Batch) Existing(ev *Event, identity uint64, origin Origin) bool {
	if !b.format.Events.EtcdKvPut.Enabled {
		return false
	}
	b.put(ev, identity, origin, 0)
	return true
}

func (b *Batch) put(ev *Event, identity uint64, origin Origin, subIndex int) {
	kv, rules := &ev.KV, &b.format.Values
	policy, hasPrev := rules.For(kv.Key), ev.HasPrev && origin == Watch

	t := b.scratch
	uid, rev := t.uid(kv.ModRevision, identity, b.cluster)
	lease := t.lease(kv.Lease)
	value := t.value(rules, policy, kv.Value)
	obj := t.object(&b.format.Kubernetes, kv.Key, kv.Value, true)
	attributes := 6 + lease.count() + value.count() + obj.count()
	var prev shown
	if hasPrev {
		prev = t.value(rules, policy, ev.Prev.Value)
		attributes += 1 + prev.count()
	}
	key, body := t.sentenceOfPut(b.format.Body, kv, rev, value, origin, &obj)
	s := b.keep(t)

	lr := b.add(eventPut, plog.SeverityNumberInfo, attributes)
	attrs := lr.Attributes()
	attrs.PutStr("etcd.key", key.of(s))
	attrs.PutInt("etcd.kv.create_revision", kv.CreateRevision)
	attrs.PutInt("etcd.kv.mod_revision", kv.ModRevision)
	if origin == Watch {
		attrs.PutInt("etcd.kv.sub_index", int64(subIndex))
	} else {
		attrs.PutStr("etcd.kv.origin", origin.String())
	}
	attrs.PutInt("etcd.kv.version", kv.Version)
	putLease(attrs, lease.of(s))
	value.put(attrs, &currentValue, s)
	if hasPrev {
		attrs.PutInt("etcd.kv.prev_mod_revision", ev.Prev.ModRevision)
		prev.put(attrs, &previousValue, s)
	}
	obj.put(attrs, s)
	b.finish(lr, s, uid, key, body)
}

func (t *text) sentenceOfPut(wanted bool, kv *KeyValue, rev part, value shown, origin Origin, obj *object) (key, sentence part) {
	verb := "put "
	if origin != Watch {
		verb = "exists "
	}
	key, from := t.subject(wanted, verb, kv.Key, obj)
	if !wanted {
		return key, part{}
	}
	t.words(" rev ")
	t.again(rev)
	t.words(" (")
	if value.Has(redact.Length) {
		t.number(int64(value.Size))
		t.words(" B, ")
	}
	t.words("version ")
	t.number(kv.Version)
	if manager := obj.parts[managerName]; manager.len() > 0 {
		t.words(", manager ")
		t.again(manager)
	}
	t.words(")")
	return key, t.since(from)
}

// subject begins a sentence, if one is wanted, and writes the key: in the sentence,
// unless an object is named there in its place.
func (t *text) subject(wanted bool, verb string, of []byte, obj *object) (key part, from int) {
	if !wanted || obj.named() {
		key = t.key(of)
	}
	if !wanted {
		return key, 0
	}
	from = len(*t)
	t.words(verb)
	if obj.named() {
		t.objectNameOf(obj)
	} else {
		key = t.key(of)
	}
	return key, from
}

// delete: etcd sends only key and revision of a deleted key; all else comes from
// the previous value, if it was asked for and is not compacted.
func (b *Batch) delete(ev *Event, identity uint64, subIndex int) {
	kv, rules := &ev.KV, &b.format.Values

	t := b.scratch
	uid, rev := t.uid(kv.ModRevision, identity, b.cluster)
	attributes := 4
	var lease part
	var prev shown
	if ev.HasPrev {
		lease = t.lease(ev.Prev.Lease)
		prev = t.value(rules, rules.For(kv.Key), ev.Prev.Value)
		attributes += 2 + lease.count() + prev.count()
	}
	obj := t.object(&b.format.Kubernetes, kv.Key, ev.Prev.Value, ev.HasPrev)
	attributes += obj.count()
	key, body := t.sentenceOfDelete(b.format.Body, kv, rev, prev, &obj)
	s := b.keep(t)

	lr := b.add(eventDelete, plog.SeverityNumberInfo, attributes)
	attrs := lr.Attributes()
	attrs.PutStr("etcd.key", key.of(s))
	attrs.PutInt("etcd.kv.mod_revision", kv.ModRevision)
	attrs.PutInt("etcd.kv.sub_index", int64(subIndex))
	if ev.HasPrev {
		attrs.PutInt("etcd.kv.create_revision", ev.Prev.CreateRevision)
		putLease(attrs, lease.of(s))
		attrs.PutInt("etcd.kv.prev_mod_revision", ev.Prev.ModRevision)
		prev.put(attrs, &previousValue, s)
	}
	obj.put(attrs, s)
	b.finish(lr, s, uid, key, body)
}

func (t *text) sentenceOfDelete(wanted bool, kv *KeyValue, rev part, was shown, obj *object) (key, sentence part) {
	key, from := t.subject(wanted, "delete ", kv.Key, obj)
	if !wanted {
		return key, part{}
	}
	t.words(" rev ")
	t.again(rev)
	if was.Has(redact.Length) {
		t.words(" (was ")
		t.number(int64(was.Size))
		t.words(" B)")
	}
	return key, t.since(from)
}

// finish completes the record of a change whose strings are in s.
func (b *Batch) finish(lr plog.LogRecord, s string, uid, key, body part) {
	attrs := lr.Attributes()
	attrs.PutStr("log.record.uid", uid.of(s))
	if b.format.Body {
		lr.Body().SetStr(body.of(s))
		if key.from >= body.from {
			b.bytes += key.len() // a second time, in the sentence
		}
	}
	b.bytes += recordBytes + attrs.Len()*attributeBytes + len(s)
}

// What a record of a change takes in OTLP besides its strings. An attribute is its
// name, 16 bytes on average, its number and 7 bytes of protobuf.
const (
	recordBytes    = 64
	attributeBytes = 26
)

func putLease(attrs pcommon.Map, lease string) {
	if lease != "" {
		attrs.PutStr("etcd.lease.id", lease)
	}
}

// valueNames are the attributes of one value.
type valueNames struct{ text, encoding, hash, size, truncated string }

var (
	currentValue  = valueNames{"etcd.kv.value", "etcd.kv.value_encoding", "etcd.kv.value_hash", "etcd.kv.value_size", "etcd.kv.value_truncated"}
	previousValue = valueNames{"etcd.kv.prev_value", "etcd.kv.prev_value_encoding", "etcd.kv.prev_value_hash", "etcd.kv.prev_value_size", "etcd.kv.prev_value_truncated"}
)

// count is the number of attributes that put writes.
func (v *shown) count() int { return bits.OnesCount8(uint8(v.Facts)) }

func (v *shown) put(attrs pcommon.Map, names *valueNames, s string) {
	if v.Has(redact.Length) {
		attrs.PutInt(names.size, int64(v.Size))
	}
	if v.Has(redact.Digest) {
		attrs.PutStr(names.hash, v.text.of(s))
	}
	if v.Has(redact.Content) {
		attrs.PutStr(names.text, v.text.of(s))
	}
	if v.Has(redact.IsBase64) {
		attrs.PutStr(names.encoding, "base64")
	}
	if v.Has(redact.IsTruncated) {
		attrs.PutBool(names.truncated, true)
	}
}
