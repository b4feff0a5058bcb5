// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import "bytes"

// Key is what a key says about its object. What it does not say is empty.
type Key struct {
	// Group of the resource. Keys have that of custom resources only; that of a
	// built-in one is in Object.APIVersion.
	Group []byte
	// Resource is the type as users of the API know it, in plural: pods.
	Resource  []byte
	Namespace []byte
	Name      []byte
}

// ParseKey reads a key without the prefix that all keys of the API server have
// (/registry/): TYPE/[NAMESPACE/]NAME, and for custom resources GROUP before it,
// which has a dot.
//
// Source: genericregistry.Store (NamespaceKeyFunc) and
// specialDefaultResourcePrefixes of kubernetes 1.36.
func ParseKey(key []byte) (Key, bool) {
	var k Key
	first, rest, _ := bytes.Cut(key, slash)
	if bytes.IndexByte(first, '.') >= 0 {
		k.Group = first
		first, rest, _ = bytes.Cut(rest, slash)
	}
	k.Resource = first
	if k.Group == nil {
		k.Resource, rest = renamed(first, rest)
	}
	k.Name = rest
	if namespace, name, ok := bytes.Cut(rest, slash); ok {
		k.Namespace, k.Name = namespace, name
	}
	if len(k.Resource) == 0 || len(k.Name) == 0 || k.Namespace != nil && len(k.Namespace) == 0 || bytes.IndexByte(k.Name, '/') >= 0 {
		return Key{}, false
	}
	return k, true
}

var (
	slash       = []byte("/")
	controllers = []byte("replicationcontrollers")
	endpoints   = []byte("endpoints")
	ingresses   = []byte("ingresses")
	nodes       = []byte("nodes")
	services    = []byte("services")
)

// renamed gives the name of a resource that is not stored under it.
func renamed(stored, rest []byte) (resource, after []byte) {
	switch string(stored) {
	case "controllers":
		return controllers, rest
	case "ingress":
		return ingresses, rest
	case "minions":
		return nodes, rest
	case "services":
		switch kind, after, _ := bytes.Cut(rest, slash); string(kind) {
		case "specs":
			return services, after
		case "endpoints":
			return endpoints, after
		}
	}
	return stored, rest
}

// Secret tells whether the object is one whose value nothing may be told of.
func (k *Key) Secret() bool { return string(k.Resource) == "secrets" }
