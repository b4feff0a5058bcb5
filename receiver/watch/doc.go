// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package watch turns the changes of an etcd cluster into log records.
//
//	member -> gRPC watch stream -> whole revisions -> batch -> pipeline -> position -> checkpoint
//
// Each prefix is followed by one goroutine, which reads, converts and delivers, so
// that a pipeline that refuses stops the reading: at most one response is read
// ahead. The position, the next revision to ask for, moves when the pipeline has
// accepted a batch, and a batch holds whole revisions only. When a stream ends,
// for whatever reason, the next one starts at the position, at another member if
// there is one.
//
// What a session does, in the order of the files to read:
//
//	watcher.go   one session after another, with a back-off between them
//	position.go  where the stream stands, and its checkpoint
//	session.go   one connection to one member: live follows the tip
//	stream.go    one watcher of etcd; wire.go reads its responses
//	batch.go     responses become batches, batches are delivered
//	sign.go      who made each change, from what was traced
//	coverage.go  of how many that is known; unnamed.go tells of which it is not
//	resumed.go   is it still the same history that goes on?
//	gap.go       what is missing, and where the stream goes on
//	keys.go      the existing keys, after a gap or at the start; pages.go
//	catchup.go   a backlog, by many watchers at once
//	heartbeat.go a silent stream is looked after
//
// Every change after the first start arrives, in the order of revisions within a
// prefix, or an etcd.watch.gap says which revisions are missing and why. With a
// checkpoint that holds over restarts and crashes of the collector; without one,
// as long as it runs. After a crash the last batch may come twice, with the same
// log.record.uid.
package watch
