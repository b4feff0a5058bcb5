// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package discovery finds etcd server processes on this host without any
// configuration.
//
// A Scanner walks the proc file system once, picks the processes that run etcd
// (identity.go) and reads their settings the way etcd itself did at start
// (settings.go): a configuration file alone if there is one, else command line
// over environment. What it cannot read it leaves unknown and says so in
// Process.Unread; it never fills a hole with a default that only might be true.
//
// Nothing is held open between two scans and nothing runs in the background.
// A scan is a snapshot: a process may end before the caller looks at it, and a
// configuration file may have changed since etcd read it.
//
// Everything below /proc/PID is written by that process. It is read with
// limits, parsed without trust, and its files are opened inside its own root.
//
// etcd embedded in another program (k3s) is found by the path of its executable,
// a renamed one by its name, if the caller gives these. Not told apart yet: a
// process in another network name space, whose loopback is not ours.
package discovery
