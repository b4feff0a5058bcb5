//go:build ignore

/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The programs that are attached to functions of etcd. They use no type of the kernel but pt_regs, so that they load
 * where there is no BTF.
 */
#include "applied.h"
#include "handshake.h"
#include "met.h"

char license_text[] SEC("license") = "Dual MIT/GPL";

/* What Go must know is kept in the BTF by being mentioned. */
const struct header *tell_header __attribute__((unused));
const struct request *tell_request __attribute__((unused));
const struct inner *tell_inner __attribute__((unused));
const struct failure *tell_failure __attribute__((unused));
const struct applied *tell_applied __attribute__((unused));
const struct handshake *tell_handshake __attribute__((unused));
const enum handshake_error *tell_handshake_error __attribute__((unused));
const enum applied_operation *tell_applied_operation __attribute__((unused));
const enum record_kind *tell_record_kind __attribute__((unused));
const enum record_flags *tell_record_flags __attribute__((unused));
const enum counter *tell_counter __attribute__((unused));
const enum layout *tell_layout __attribute__((unused));
const enum stream *tell_stream __attribute__((unused));

/* The guard is found by BTF. What holds without it: a program with a tail call, be it one that is never made, keeps the
 * stack of the kernel. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} nowhere SEC(".maps");
const volatile bool tail_call = false;

/* Kernels before 5.10 do not need that, nor allow it in a program that calls functions. */
#ifdef PERF_BUFFER
#define KEEP_STACK(ctx)
#else
#define KEEP_STACK(ctx)                      \
	if (tail_call)                       \
		bpf_tail_call(ctx, &nowhere, 0)
#endif

#define PROBE(name, call)                 \
	SEC("uprobe.multi")               \
	int name(struct pt_regs *ctx)     \
	{                                 \
		long missing = 0;         \
		guard();                  \
		call;                     \
		count_missing(&missing);  \
		send(ctx);                \
		unguard();                \
		KEEP_STACK(ctx);          \
		return 0;                 \
	}

/* etcd 3.5 and later */
PROBE(request_met, on_request(ctx))
PROBE(unary_failed, on_failed(&missing, ctx))
/* etcd 3.4 */
PROBE(old_begun, on_begun(&missing, ctx))
PROBE(old_met, on_old(&missing, ctx))
/* all */
PROBE(user_found, on_user(&missing, ctx))
PROBE(write_met, on_write(&missing, ctx))
PROBE(handshake_failed, on_handshake_failed(&missing, ctx))
