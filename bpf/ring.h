/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The way out: one ring for all records, and counters of what did not get in. With PERF_BUFFER a perf buffer, for kernels
 * before 5.8: each CPU has a ring of its own, into which records are copied.
 */
#pragma once

#include "record.h"

struct {
#ifdef PERF_BUFFER
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
#else
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
#endif
} records SEC(".maps");

enum counter {
	COUNT_SENT,
	COUNT_UNREADABLE, /* programs and records that lack something: a page of etcd was not resident, or an address was wrong */
	COUNT_NO_PEER,	  /* a context without a peer */
	COUNT_UNFINISHED, /* a request whose end was not seen */
	COUNTERS,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline void count(__u32 which)
{
	__u64 *n = bpf_map_lookup_elem(&counters, &which);
	if (n)
		__sync_fetch_and_add(n, 1); /* before 6.10 a program can be preempted here by another one */
}

/* Records for which there was no room, and requests whose arguments could not be read. Mapped into the reader, which looks at
 * each drain: a system call for each CPU would cost more than the drain. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
#ifndef PERF_BUFFER /* Linux 5.5 */
	__uint(map_flags, BPF_F_MMAPABLE);
#endif
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

static __always_inline void count_lost(void)
{
	__u32 only = 0;
	__u64 *n = bpf_map_lookup_elem(&lost, &only);
	if (n)
		__sync_fetch_and_add(n, 1);
}

/* A record that lies on the stack of a program on a tracepoint. Such a program may interrupt another one, so it does not share a
 * place with it. Without a wake-up, which costs etcd 5 us, more than everything else together: the reader comes by itself
 * every few ms. */
static __always_inline long put(void *ctx, void *record, __u64 size)
{
#ifdef PERF_BUFFER
	return bpf_perf_event_output(ctx, &records, BPF_F_CURRENT_CPU, record, size);
#else
	return bpf_ringbuf_output(&records, record, size, BPF_RB_NO_WAKEUP);
#endif
}

static __always_inline void output(void *ctx, void *record, __u64 size)
{
	if (put(ctx, record, size))
		count_lost();
	else
		count(COUNT_SENT);
}
