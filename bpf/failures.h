/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Why a request failed: told by functions that run for failures only.
 */
#pragma once

#include "requests.h"

static __always_inline void fail(long *missing, const struct header *h, __u32 code, const struct go_string *message)
{
	struct failure *f = reserve(sizeof *f);
	if (!f)
		return;
	f->h = *h;
	f->h.kind = RECORD_FAILURE;
	f->code = code;
	f->message_len = message ? take_text(missing, f->message, message, MESSAGE_MAX) : 0;
	submit(f);
}

/* internal/status.(*Error).GRPCStatus(): gRPC asks a failed request's error for its code, after it was served, and
 * interceptors may have asked before. */
static __always_inline void tell_status(long *missing, struct pt_regs *ctx, const struct header *h, const struct binary *b)
{
	struct go_string message = {};
	__u64 status = argument(missing, ctx, b, 0);
	for (int i = 0; i < 3 && i < b->status_depth; i++)
		status = take_word(missing, status);
	if (!status)
		return;
	__s64 code = take_number(missing, status, b->status_code, 4);
	take(missing, &message, sizeof message, status + b->status_message);
	count_missing(missing);
	fail(missing, h, code, &message);
}

/* What gRPC makes of an error that is no status of its own: codes/codes.go. */
enum code { CODE_CANCELLED = 1, CODE_UNKNOWN = 2, CODE_DEADLINE_EXCEEDED = 4 };

/* context.Canceled is an error as any other but for its text. */
static __always_inline bool is_canceled(long *missing, const struct go_string *s)
{
	char text[16];
	return s->len == sizeof text && take(missing, text, sizeof text, s->data) && !__builtin_memcmp(text, "context canceled", sizeof text);
}

/* status.FromContextError(err): for errors that are no gRPC status, as those of locks and elections. */
static __always_inline void tell_context_error(long *missing, struct pt_regs *ctx, const struct header *h, const struct binary *b, __u64 bias)
{
	__u64 type = take_word(missing, argument(missing, ctx, b, 0) + 8);
	struct go_string message = {};
	__u32 code = CODE_UNKNOWN;
	if (!type)
		return;
	if (type == b->deadline + bias)
		code = CODE_DEADLINE_EXCEEDED;
	else if (type == b->plain_error + bias && take(missing, &message, sizeof message, argument(missing, ctx, b, 1)) && is_canceled(missing, &message))
		code = CODE_CANCELLED;
	fail(missing, h, code, code == CODE_UNKNOWN ? &message : 0);
}

/* Whether the function of the probe that is at a place will run once more. GRPCStatus, a small function, has in most
 * builds no stack check: its probe is at its first instruction, which is stepped over, but only for failures. */
static __always_inline bool begins_anew(struct pt_regs *ctx, const struct binary *b, __u64 at)
{
	return at != b->status_unchecked && STACK_WILL_GROW(ctx);
}

static __always_inline bool is_failure(const struct binary *b, __u64 at)
{
	return at == b->context_asked || at == b->status_asked;
}

static __always_inline void tell_reason(long *missing, struct pt_regs *ctx, const struct header *h, const struct process *p, const struct binary *b, __u64 at)
{
	if (at == b->context_asked)
		tell_context_error(missing, ctx, h, b, p->bias);
	else
		tell_status(missing, ctx, h, b);
}

static __always_inline void on_failed(long *missing, struct pt_regs *ctx)
{
	struct process *p;
	struct binary *b;
	struct header h;
	if (!find(ctx, RECORD_FAILURE, &h, &p, &b))
		return;
	__u64 at = place(ctx, p);
	if (!begins_anew(ctx, b, at))
		tell_reason(missing, ctx, &h, p, b, at);
}
