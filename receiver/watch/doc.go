// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package watch turns the changes of an etcd cluster into log records.
//
//	member -> gRPC watch stream -> whole revisions -> batch -> pipeline -> position
//
// For each prefix one goroutine reads, converts and delivers, so that a pipeline
// which refuses stops the reading: at most one response is read ahead. The
// position, the next revision to ask for, moves when the pipeline has accepted a
// batch, and a batch holds whole revisions only. When a stream ends, for whatever
// reason, the next one starts at the position, at another member if there is one.
//
// A silent stream is looked after every two seconds: is the member there, and up to
// which revision is there nothing of this prefix? The position moves past that too.
//
// Every change after the first start arrives, in the order of revisions within a
// prefix, or an etcd.watch.gap says which revisions are missing and why: they were
// compacted before they could be read, the pipeline refused them for good, or
// another cluster answers at the endpoint. Two things are not seen yet: what happens
// while the collector is not running, since the position is kept in memory; and
// what follows a restore from a backup under the same cluster id, until the
// revisions have passed the position again.
package watch
