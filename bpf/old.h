/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Unary requests of etcd 3.4, which calls logUnaryRequestStats at debug level only: the interceptor's closure is the
 * beginning, and gRPC's sendResponse the end of what succeeds.
 */
#pragma once

#include "failures.h"

/* Requests that are being served. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct goroutine);
	__type(value, struct served);
} begun SEC(".maps");

/* v3rpc.newLogUnaryInterceptor.func1(ctx, req, info, handler) */
static __always_inline void on_begun(long *missing, struct pt_regs *ctx)
{
	struct process *p;
	struct binary *b;
	struct header h;
	if (STACK_WILL_GROW(ctx) || !find(ctx, RECORD_REQUEST, &h, &p, &b))
		return;
	struct served s = {
		.ctx = GO_REG1(ctx), .request_type = GO_REG2(ctx), .request = GO_REG3(ctx), .method = GO_REG4(ctx) + 16,
		.ext = h.ktime, .number = UNKNOWN, .flags = REQUEST_BY_KTIME,
	};
	struct goroutine g = {.tgid = h.tgid, .g = h.goroutine};
	if (bpf_map_update_elem(&begun, &g, &s, BPF_NOEXIST)) {
		count(COUNT_UNFINISHED); /* goroutines are used again */
		bpf_map_update_elem(&begun, &g, &s, BPF_ANY);
	}
}

/* Where a request ends: grpc.(*Server).sendResponse(t, stream, msg, ...), or why it failed is asked. It has ended also if that
 * cannot be read. Gives the operation of what this goroutine has begun, if it leaves. */
static __noinline struct operation *old_ended(struct pt_regs *ctx, const struct header *h, struct served *s, const struct binary *b, const struct process *p)
{
	struct goroutine g = {.tgid = h->tgid, .g = h->goroutine};
	struct served *found = bpf_map_lookup_elem(&begun, &g);
	if (!found)
		return NULL;
	*s = *found;
	bpf_map_delete_elem(&begun, &g);
	s->response = GO_REG5(ctx) & -is_zero(place(ctx, p) ^ b->answered); /* none if it failed; no branch, as in finish */
	return finish(h, s, b, p);
}
