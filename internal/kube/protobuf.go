// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// protobufMagic begins every value that is protobuf; a runtime.Unknown follows.
var protobufMagic = []byte("k8s\x00")

// The fields that are read: of runtime.Unknown and runtime.TypeMeta, of ObjectMeta,
// ManagedFieldsEntry and Time in k8s.io/apimachinery/pkg/apis/meta/v1.
const (
	unknownTypeMeta    = 1
	unknownRaw         = 2
	typeMetaAPIVersion = 1
	typeMetaKind       = 2
	objectMeta         = 1 // in every object that is stored as protobuf
	metaName           = 1
	metaNamespace      = 3
	metaUID            = 5
	metaManagedFields  = 17
	entryManager       = 1
	entryOperation     = 2
	entryTime          = 4
	timeSeconds        = 1
)

func (o *Object) readProtobuf(unknown []byte) bool {
	var raw []byte
	f := fields{rest: unknown}
	for f.next() {
		switch f.number {
		case unknownTypeMeta:
			if !o.readTypeMeta(f.bytes) {
				return false
			}
		case unknownRaw:
			raw = f.bytes
		}
	}
	if f.broken {
		return false
	}
	f = fields{rest: raw}
	for f.next() {
		if f.number == objectMeta {
			return o.readObjectMeta(f.bytes) // what follows is the object itself
		}
	}
	return !f.broken
}

func (o *Object) readTypeMeta(message []byte) bool {
	f := fields{rest: message}
	for f.next() {
		switch f.number {
		case typeMetaAPIVersion:
			o.APIVersion = f.bytes
		case typeMetaKind:
			o.Kind = f.bytes
		}
	}
	return !f.broken
}

func (o *Object) readObjectMeta(message []byte) bool {
	newest := int64(math.MinInt64)
	f := fields{rest: message}
	for f.next() {
		switch f.number {
		case metaName:
			o.Name = f.bytes
		case metaNamespace:
			o.Namespace = f.bytes
		case metaUID:
			o.UID = f.bytes
		case metaManagedFields:
			e, ok := readManaged(f.bytes)
			if !ok {
				return false
			}
			if e.seconds >= newest {
				newest, o.Manager, o.Operation = e.seconds, e.manager, e.operation
			}
		}
	}
	return !f.broken
}

// managed is an entry of managedFields, without the fields.
type managed struct {
	manager, operation []byte
	seconds            int64
}

func readManaged(message []byte) (e managed, ok bool) {
	f := fields{rest: message}
	for f.next() {
		switch f.number {
		case entryManager:
			e.manager = f.bytes
		case entryOperation:
			e.operation = f.bytes
		case entryTime:
			time := fields{rest: f.bytes}
			for time.next() {
				if time.number == timeSeconds {
					e.seconds = int64(time.varint)
				}
			}
			if time.broken {
				return e, false
			}
		}
	}
	return e, !f.broken
}

// fields reads the fields of one message after the other. Every length is checked
// against the bytes that are there.
type fields struct {
	rest   []byte
	number protowire.Number
	bytes  []byte // of a field that has a length, else nil
	varint uint64
	broken bool
}

// next gives the next field. False is the end of the message, or where it is
// broken.
func (f *fields) next() bool {
	if f.broken || len(f.rest) == 0 {
		return false
	}
	number, kind, n := protowire.ConsumeTag(f.rest)
	if n < 0 {
		f.broken = true
		return false
	}
	f.number, f.bytes, f.varint, f.rest = number, nil, 0, f.rest[n:]
	switch kind {
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(f.rest)
	case protowire.VarintType:
		f.varint, n = protowire.ConsumeVarint(f.rest)
	case protowire.StartGroupType:
		n = -1 // no message of the API server has one
	default:
		n = protowire.ConsumeFieldValue(number, kind, f.rest)
	}
	if n < 0 {
		f.broken = true
		return false
	}
	f.rest = f.rest[n:]
	return true
}
