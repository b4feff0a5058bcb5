/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Room for a record that is too large for a program's stack: it is made where it leaves from.
 */
#pragma once

#include "ring.h"

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
 * Where they hide BTF too, and so the guard, and the kernel preempts programs (Linux 7), one thread of etcd would write over
 * what another one has made; there they let one run at a time. Programs on tracepoints do not write here: see put. */
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
