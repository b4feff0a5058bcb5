// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package bpf has the programs that run in the kernel, and all that knows of
// them: their maps, their links, the ring and the layout of its records.
//
//	etcd.bpf.c       functions of etcd (uprobes): met.h makes records of requests.h, streams.h and, of etcd 3.4, old.h;
//	                 failures.h, applied.h, handshake.h
//	perf.bpf.c       the same for kernels without a ring buffer
//	disk.bpf.c       syncs of etcd's files (tracepoints): syncs.h, synced.h; who else writes: writers.h
//	network.bpf.c    TCP connections of etcd (tracepoints, list of open files): connections.h
//	lifecycle.bpf.c  which processes begin and end (tracepoints): lifecycle.h
//	named.bpf.c      all three without BTF: known_files.h, named_connections.h; told by sockets.go
//	namedperf.bpf.c  the same without a ring buffer
//	programs.go      all of them: loaded, put into a process, taken out
//	record.h         what the programs write into the ring; record.go reads it, types.go has what both sides know
//	distribution.h   durations, counted in the kernel
//	ring.h           the ring, or the perf buffer that stands in; read by ring.go, perf.go
//	reserve.h        room in it for what is too large for a stack
//	process.h        what they are told of processes; binary.h, where things lie in an executable
//	pids.go          ids of processes, where the collector has others than the host
//	ladder.go        what is done where a kernel lacks something
//	tracepoints.go   the kernel's events without BTF, as tracefs describes them
//	tcp.h            the kernel's numbers for TCP
//	kernel.h         types of the kernel, and what it has or lacks: the guard against being preempted
//	files.h          structs of the kernel that are found by BTF, with sockets.h
//	go.h             how Go lies in registers and memory; peer.h, who asks
//
// The objects are committed, so that nobody who builds a collector needs clang;
// `make generate` compiles them.
package bpf
