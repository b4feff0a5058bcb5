// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package kube reads what Kubernetes writes into etcd, as far as it says which
// object a key is: resource, namespace and name from the key, kind, uid and field
// manager from the value. What is in an object (spec, data, labels, annotations)
// is skipped unread. It is pure: results are views of the bytes that it is given.
package kube
