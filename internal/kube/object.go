// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import "bytes"

// Object is what a value says about the object in it. The rest of the value is
// skipped unread.
type Object struct {
	APIVersion []byte // apps/v1, of the core group v1
	Kind       []byte
	Namespace  []byte // empty if the object has none
	Name       []byte
	UID        []byte
	// Manager wrote to the object last, by its managedFields: the field manager
	// and what it did, Apply or Update. It is the name a client gave itself, not a
	// user.
	Manager   []byte
	Operation []byte
}

// Group is the group in APIVersion, empty for the core group.
func (o *Object) Group() []byte {
	group, _, ok := bytes.Cut(o.APIVersion, slash)
	if !ok {
		return nil
	}
	return group
}

const (
	// maxValue bounds the time for a value that is no object. etcd takes 1.5 MiB by
	// default; reading an object ends with its metadata, which comes first.
	maxValue = 2 << 20
	// maxString is longer than all that the API server lets pass: a manager has up to
	// 128 characters, a name up to 253 bytes.
	maxString = 512
)

// ParseObject reads the envelope of a value as the API server stores it, protobuf
// or JSON. It tells false if value is neither, or is encrypted.
func ParseObject(value []byte) (Object, bool) {
	if len(value) > maxValue {
		return Object{}, false
	}
	var o Object
	var ok bool
	switch {
	case bytes.HasPrefix(value, protobufMagic):
		ok = o.readProtobuf(value[len(protobufMagic):])
	case bytes.HasPrefix(value, []byte("{")):
		ok = o.readJSON(value)
	}
	if !ok || !o.plausible() {
		return Object{}, false
	}
	return o, true
}

// Stored tells whether value begins as protobuf or encrypted values of the API
// server do. JSON may be anybody's: ParseObject tells.
func Stored(value []byte) bool {
	return bytes.HasPrefix(value, protobufMagic) || bytes.HasPrefix(value, encrypted)
}

// plausible: something else that happens to have these fields is not told.
func (o *Object) plausible() bool {
	if len(o.APIVersion) == 0 || len(o.Kind) == 0 {
		return false
	}
	for _, s := range [...][]byte{o.APIVersion, o.Kind, o.Namespace, o.Name, o.UID, o.Manager, o.Operation} {
		if len(s) > maxString {
			return false
		}
	}
	return true
}
