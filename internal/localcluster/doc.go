// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package localcluster runs a real etcd cluster on loopback for the demo and the tests.
//
// Start picks free ports, starts one etcd process a member and returns when all of them answer and have a leader.
// From then on members can be killed, stopped, paused and restarted one by one, added and removed. Close ends every
// process by its own PID and removes what Start created; a cluster whose owner is killed dies with it (see package
// child).
//
// Ports are never fixed, and an answer on a port is not taken for ours: Start computes the ids that etcd derives from
// the peer URLs and a random cluster token, and a member counts as up only if it reports exactly these ids while our
// process is alive. So nobody else's etcd is written to.
//
// The command line is limited to what etcd 3.4 to 3.7 understand.
//
// A Cluster and its Members are safe for concurrent use.
package localcluster
