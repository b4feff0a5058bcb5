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

/* Records for which there was no room. Mapped into the reader, which looks at each drain: a system call for each CPU would
 * cost more than the drain. */
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

#ifndef PERF_BUFFER

static __always_inline void *reserve(__u64 size)
{
	void *r = bpf_ringbuf_reserve(&records, size, 0);
	if (r)
		count(COUNT_SENT);
	else
		count_lost();
	return r;
}

/* Without a wake-up, which costs etcd 5 us, more than everything else together: the reader comes by itself every few
 * ms. */
static __always_inline void submit(void *record)
{
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

/* The end of a program that may have made records. */
static __always_inline void send(void *ctx) {}

#else

/* To copy a record into the buffer takes the ctx of the program, which the function that makes a transaction's operations
 * cannot be given: it takes numbers only (take_inner_apart). So the records of a program wait here until its end, those of
 * each CPU by themselves: first what is submitted, then what is being made; what is not submitted is written over. Nothing
 * comes between: on the kernels that need this, perf's probes run with preemption off, and no program of another probe runs
 * on that CPU meanwhile (bpf_prog_active of trace_call_bpf); on newer ones, where tests do this, the guard sees to it.
 * Programs on tracepoints do not write here. */
#define RECORDS_MAX (1 + INNER_MAX)

struct waiting {
	__u64 size;
	__u8 record[sizeof(struct large_request)]; /* no record is larger */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RECORDS_MAX);
	__type(key, __u32);
	__type(value, struct waiting);
} waiting SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} submitted SEC(".maps");

static __always_inline __u32 *submitted_records(void)
{
	__u32 only = 0;
	return bpf_map_lookup_elem(&submitted, &only);
}

static __always_inline void *reserve(__u64 size)
{
	__u32 *n = submitted_records();
	if (!n)
		return NULL;
	__u32 next = *n;
	struct waiting *w = bpf_map_lookup_elem(&waiting, &next);
	if (!w) {
		count_lost();
		return NULL;
	}
	w->size = size;
	return w->record;
}

static __always_inline void submit(void *record)
{
	__u32 *n = submitted_records();
	if (n)
		(*n)++;
}

/* The end of a program that may have made records. */
static __noinline void send(void *ctx)
{
	__u32 *n = submitted_records();
	if (!n)
		return;
	__u32 all = *n;
	*n = 0;
	for (__u32 i = 0; i < RECORDS_MAX && i < all; i++) {
		__u32 at = i;
		struct waiting *w = bpf_map_lookup_elem(&waiting, &at);
		__u64 size = w ? w->size : 0;
		if (!w || size > sizeof w->record || bpf_perf_event_output(ctx, &records, BPF_F_CURRENT_CPU, w->record, size))
			count_lost();
		else
			count(COUNT_SENT);
	}
}

#endif
