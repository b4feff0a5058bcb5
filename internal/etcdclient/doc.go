// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package etcdclient is the receiver's way to etcd: from what the user
// configured, or from what this host shows, to calls on one member each.
//
// An Endpoint is where a member listens. A Target is what there is to connect
// to: endpoints, TLS and the reason for the choice. A Conn is the connection to
// one endpoint; it is made lazily, never blocks its maker, and outlives
// failures. Each Conn stands alone, so a dead member delays nobody else.
package etcdclient
