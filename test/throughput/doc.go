// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package throughput measures the change stream against a real etcd 3.6, beside
// readers that use the watcher of etcd's client library:
//
//	ToLogs    CPU of an event, from the wire to plog
//	ToOTLP    CPU of an event, from the wire to a backend in another process
//	CatchUp   a backlog of single revisions, and what a writer feels meanwhile
//	Blocked   memory while the pipeline blocks
//	Snapshot  existing keys, beside pages without an end
//	Traced    what etcd pays for being traced, beside an empty trap and the classic pair
//	Joined    what it costs that changes tell their authors
//	Ring      records a second through the kernel's ring, and what was lost
//	RequestsToLogs  what traced requests cost the collector
//	LongRun   millions of changes, each checked, and the memory meanwhile
//
// All code is in the tests. `make bench` runs it and prints a table for each, with
// what bare clients needed before the receiver was built as floor. The contenders take turns in one run;
// medians count, and ratios are those of contenders in the same round. A contender
// that does not get every change fails the run. More:
//
//	go test -run '^$' -bench CatchUp ./throughput -timeout 1h -args -large
//	go test -run '^$' -bench ToLogs ./throughput -cpuprofile cpu.out -args -rounds 9
//	go tool pprof -tagfocus 'contender=^ours$' -top cpu.out
package throughput
