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

/* The end of the request that this goroutine has begun. */
static __always_inline void end(const struct header *h, struct process *p, struct binary *b, __u64 response)
{
	struct goroutine g = {.tgid = h->tgid, .g = h->goroutine};
	struct served *found = bpf_map_lookup_elem(&begun, &g);
	if (!found)
		return;
	struct served s = *found;
	bpf_map_delete_elem(&begun, &g);
	s.response = response;
	if (finish(h, &s, b, p))
		take_transaction(h, &s, b);
}

/* Where a request ends: grpc.(*Server).sendResponse(t, stream, msg, ...), or why it failed is asked. It has ended also if that
 * cannot be read. */
static __always_inline void on_ended(long *missing, struct pt_regs *ctx)
{
	struct process *p;
	struct binary *b;
	struct header h;
	__u64 at;
	if (!find_at(ctx, &h, &p, &b, &at))
		return;
	end(&h, p, b, GO_REG5(ctx) & -is_zero(at ^ b->answered)); /* no response if it failed; no branch, as in finish */
	if (at != b->answered)
		tell_reason(missing, ctx, &h, p, b, at);
}
