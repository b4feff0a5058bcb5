// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"slices"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/etcdreceiver/etcdreceiver/internal/kube"
)

// Kubernetes says which keys are objects of Kubernetes. The zero Kubernetes: none.
type Kubernetes struct {
	// Prefixes of the keys of its API servers, each with the slash at its end.
	Prefixes []string
	// APIServers are the names of the processes that are API servers.
	APIServers []string
	// Remote are the API servers whose process is not known, as those on other hosts.
	Remote Clients
	// Always tells that of every key below them. Else one whose value is nothing that
	// an API server writes stays a plain key.
	Always bool
}

// cut takes the prefix off a key that has one.
func (k *Kubernetes) cut(key []byte) ([]byte, bool) {
	for _, prefix := range k.Prefixes {
		if len(key) > len(prefix) && string(key[:len(prefix)]) == prefix {
			return key[len(prefix):], true
		}
	}
	return nil, false
}

// passedBy tells whether an object of Kubernetes was changed by somebody else than an
// API server. These only ever write in transactions, which compare the object's
// revision: k8s.io/apiserver/pkg/storage/etcd3/store.go. Where the client is of this
// host, its process has a name; else etcd knows it by its certificate and address.
func (k *Kubernetes) passedBy(a *Author, attrs pcommon.Map) bool {
	switch {
	case a.LeaseID != 0: // the end of an event
		return false
	case a.Operation != "txn" && a.Operation != "":
	case a.Process != (Process{}):
		if slices.Contains(k.APIServers, a.Process.Name) {
			return false
		}
	case !k.Remote.exclude(a):
		return false
	}
	_, object := attrs.Get(objectNames[resourceType])
	return object
}

// What a record tells of an object, each an attribute.
const (
	objectNamespace = iota
	objectAPIVersion
	objectKind
	objectName
	objectUID
	resourceGroup
	resourceType
	managerName
	managerOperation
	objectFacts
)

var objectNames = [objectFacts]string{
	objectNamespace:  "k8s.namespace.name",
	objectAPIVersion: "etcd.kubernetes.object.api_version",
	objectKind:       "etcd.kubernetes.object.kind",
	objectName:       "etcd.kubernetes.object.name",
	objectUID:        "etcd.kubernetes.object.uid",
	resourceGroup:    "etcd.kubernetes.resource.group",
	resourceType:     "etcd.kubernetes.resource.type",
	managerName:      "etcd.kubernetes.manager.name",
	managerOperation: "etcd.kubernetes.manager.operation",
}

// object is what a record tells of an object of Kubernetes. The zero object tells
// nothing.
type object struct {
	parts      [objectFacts]part
	encryption string
}

// object writes what key and value say. known is false where there is no value:
// the key stands alone then.
//
// Of a Secret nothing is read but the key, and whether the value is encrypted.
func (t *text) object(k *Kubernetes, key, value []byte, known bool) (o object) {
	rest, ok := k.cut(key)
	if !ok {
		return object{}
	}
	said, ok := kube.ParseKey(rest)
	if !ok {
		return object{}
	}
	var read kube.Object
	if !said.Secret() {
		read, ok = kube.ParseObject(value)
		if !ok && known && !k.Always && !kube.Stored(value) {
			return object{}
		}
	}
	if len(read.Name) > 0 { // the object knows better whether it has a namespace
		said.Name, said.Namespace = read.Name, read.Namespace
	}
	if len(said.Group) == 0 {
		said.Group = read.Group()
	}
	for i, text := range [objectFacts][]byte{
		objectNamespace: said.Namespace, objectAPIVersion: read.APIVersion, objectKind: read.Kind, objectName: said.Name,
		objectUID: read.UID, resourceGroup: said.Group, resourceType: said.Resource,
		managerName: read.Manager, managerOperation: read.Operation,
	} {
		o.parts[i] = t.key(text)
	}
	o.encryption = kube.Encryption(value)
	return o
}

// count is the number of attributes that put writes.
func (o *object) count() (n int) {
	for _, p := range o.parts {
		n += p.count()
	}
	if o.encryption != "" {
		n++
	}
	return n
}

func (o *object) put(attrs pcommon.Map, s string) {
	for i, p := range o.parts {
		putText(attrs, objectNames[i], p.of(s))
	}
	putText(attrs, "etcd.kubernetes.encryption", o.encryption)
}

// named tells whether the object has a name for people, which stands in the
// sentence in place of the key.
func (o *object) named() bool { return o.parts[objectKind].len() > 0 && o.parts[objectName].len() > 0 }

// objectNameOf writes Pod default/web.
func (t *text) objectNameOf(o *object) {
	t.again(o.parts[objectKind])
	t.words(" ")
	if o.parts[objectNamespace].len() > 0 {
		t.again(o.parts[objectNamespace])
		t.words("/")
	}
	t.again(o.parts[objectName])
}
