/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The programs that make records of requests: one for all ways to see one, because what a record takes is most of what the
 * kernel has to verify, once for each program. Where the thread has stopped tells what was met.
 */
#pragma once

#include "old.h"
#include "streams.h"

/* etcd 3.5 and later */
static __always_inline void on_request(struct pt_regs *ctx)
{
	struct process *p;
	struct binary *b;
	struct header h;
	if (STACK_WILL_GROW(ctx) || !find(ctx, RECORD_REQUEST, &h, &p, &b))
		return;
	struct served s = {.number = UNKNOWN};
	struct operation *op = place(ctx, p) == b->served ? unary_served(ctx, &h, &s, b, p) : stream_met(ctx, &h, &s, b, p);
	if (op)
		make_records(&h, &s, op, b, p);
}

/* etcd 3.4 */
static __always_inline void on_old(long *missing, struct pt_regs *ctx)
{
	struct process *p;
	struct binary *b;
	struct header h;
	if (!find(ctx, RECORD_REQUEST, &h, &p, &b))
		return;
	struct served s = {.number = UNKNOWN};
	__u64 at = place(ctx, p);
	if (begins_anew(ctx, b, at))
		return;
	struct operation *op = at == b->answered || is_failure(b, at) ? old_ended(ctx, &h, &s, b, p) : stream_met(ctx, &h, &s, b, p);
	if (op)
		make_records(&h, &s, op, b, p);
	at = place(ctx, p); /* anew: kept, it would be verified with each way that was taken above */
	if (is_failure(b, at))
		tell_reason(missing, ctx, &h, p, b, at);
}
