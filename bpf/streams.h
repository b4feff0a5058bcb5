/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Requests on streams, which logUnaryRequestStats does not see: told as they begin.
 */
#pragma once

#include "requests.h"

/* Streams have no request type in a register: user space puts their operations under these. */
enum stream_type { STREAM_WATCH = 1, STREAM_KEEPALIVE, STREAM_SNAPSHOT, STREAM_RANGE };

static __always_inline void on_stream(struct pt_regs *ctx, enum stream_type type, __u64 parent, __u64 request)
{
	struct process *p;
	struct binary *b;
	struct header h;
	if (STACK_WILL_GROW(ctx) || !find(ctx, RECORD_STREAM, &h, &p, &b))
		return;
	struct operation_key key = {.type = type, .binary = p->binary};
	struct operation *op = bpf_map_lookup_elem(&operations, &key);
	if (!op)
		return;
	if (type == STREAM_WATCH)
		parent = b->watch_stream == NONE ? 0 : take_word(parent + b->watch_stream + 8);
	struct served s = {.ctx = parent, .request = request, .ext = h.ktime, .number = UNKNOWN, .flags = REQUEST_BY_KTIME};
	s.began = ~0ULL; /* etcd has not asked who the user is yet: the one that is noted is of a request before */
	if (type == STREAM_KEEPALIVE) {
		s.number = request;
		s.request = 0;
	}
	distribute(h.tgid, RECORD_STREAM, op->code, 0);
	if (op->emit)
		emit(&h, &s, op, b, p);
}
