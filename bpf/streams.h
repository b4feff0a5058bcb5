/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Requests on streams, which logUnaryRequestStats does not see: told as they begin, and the ends of watches.
 */
#pragma once

#include "requests.h"

/* Streams have no request type in a register: user space puts their operations under these. */
enum stream_type { STREAM_WATCH = 1, STREAM_KEEPALIVE, STREAM_SNAPSHOT, STREAM_RANGE, STREAM_CANCEL, STREAM_CLOSE };

/* A stream of watches, which etcd knows by its mvcc.watchStream. One goroutine reads it from its first watch on, so what
 * was noted of its user stays true. */
struct watch_stream {
	__u64 ctx;   /* of gRPC's stream: lives as long */
	__u64 began; /* its first watch, ns of CLOCK_MONOTONIC */
};

struct watch_stream_key {
	__u64 watchers;
	__u32 tgid, reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct watch_stream_key);
	__type(value, struct watch_stream);
} watch_streams SEC(".maps");

/* Gives when the first watch of a stream was made, ~0 if it is this one: etcd has not asked yet who its user is. */
static __always_inline __u64 follow_watches(long *missing, const struct header *h, const struct binary *b, __u64 server, __u64 ctx)
{
	if (b->watchers == NONE)
		return ~0ULL;
	struct watch_stream_key key = {.watchers = take_word(missing, server + b->watchers + 8), .tgid = h->tgid};
	struct watch_stream *known = bpf_map_lookup_elem(&watch_streams, &key), first = {.ctx = ctx, .began = h->ktime};
	if (known && known->ctx == ctx)
		return known->began;
	bpf_map_update_elem(&watch_streams, &key, &first, BPF_ANY);
	return ~0ULL;
}

static __always_inline struct operation *find_stream(struct pt_regs *ctx, enum stream_type type, struct header *h, struct process **p, struct binary **b)
{
	if (STACK_WILL_GROW(ctx) || !find(ctx, RECORD_STREAM, h, p, b))
		return NULL;
	struct operation_key key = {.type = type, .binary = (*p)->binary};
	return bpf_map_lookup_elem(&operations, &key);
}

static __always_inline void tell_stream(const struct header *h, struct served *s, enum stream_type type, const struct operation *op, const struct binary *b, const struct process *p)
{
	s->ext = h->ktime;
	s->flags = REQUEST_BY_KTIME;
	if (p->checked)
		distribute(h->tgid, RECORD_STREAM, op->code, 0);
	/* The first half is known when this is loaded: what cannot be is not verified, which takes most of the time. */
	if ((reads_leave || type == STREAM_SNAPSHOT) && op->emit)
		emit(h, s, op, b, p);
}

/* While auth is on, etcd asks who wants a copy of the database in the call before: what was noted then is this user. That lies
 * microseconds back, ns, but on a busy host a thread may have to wait in between. Nobody else's can be noted: without a user
 * there is no copy. */
#define ASKED_BEFORE 1000000000

/* parent_at, request_at: which arguments lead to the context, and are the request. */
static __always_inline void on_stream(long *missing, struct pt_regs *ctx, enum stream_type type, int parent_at, int request_at)
{
	struct process *p;
	struct binary *b;
	struct header h;
	struct operation *op = find_stream(ctx, type, &h, &p, &b);
	if (!op)
		return;
	__u64 parent = argument(missing, ctx, b, parent_at), request = argument(missing, ctx, b, request_at);
	struct served s = {.ctx = parent, .request = request, .number = UNKNOWN, .began = ~0ULL};
	if (type == STREAM_WATCH) {
		s.ctx = b->watch_stream == NONE ? 0 : take_word(missing, parent + b->watch_stream + 8);
		s.began = follow_watches(missing, &h, b, parent, s.ctx);
	} else if (type == STREAM_KEEPALIVE) {
		s.number = request;
		s.request = 0;
	} else if (type == STREAM_SNAPSHOT) {
		s.began = h.ktime - ASKED_BEFORE;
	}
	count_missing(missing);
	tell_stream(&h, &s, type, op, b, p);
}

/* mvcc.(*watchStream).Cancel(id): the client wants no more of one watch. What etcd ends by itself does not come here. */
static __always_inline void on_watch_canceled(long *missing, struct pt_regs *ctx)
{
	struct process *p;
	struct binary *b;
	struct header h;
	struct operation *op = find_stream(ctx, STREAM_CANCEL, &h, &p, &b);
	if (!op)
		return;
	struct watch_stream_key key = {.watchers = argument(missing, ctx, b, 0), .tgid = h.tgid};
	struct watch_stream *w = bpf_map_lookup_elem(&watch_streams, &key);
	struct served s = {.ctx = w ? w->ctx : 0, .number = argument(missing, ctx, b, 1), .began = w ? w->began : ~0ULL};
	count_missing(missing);
	tell_stream(&h, &s, STREAM_CANCEL, op, b, p);
}

/* mvcc.(*watchStream).Close(): the stream has ended, on another goroutine than the one that read it. The number is how
 * long it lasted. */
static __always_inline void on_watch_closed(long *missing, struct pt_regs *ctx)
{
	struct process *p;
	struct binary *b;
	struct header h;
	struct operation *op = find_stream(ctx, STREAM_CLOSE, &h, &p, &b);
	if (!op)
		return;
	struct watch_stream_key key = {.watchers = argument(missing, ctx, b, 0), .tgid = h.tgid};
	struct watch_stream *w = bpf_map_lookup_elem(&watch_streams, &key);
	count_missing(missing);
	if (!w)
		return; /* a stream without watches, or older than the probes */
	struct served s = {.ctx = w->ctx, .number = h.ktime - w->began, .began = ~0ULL};
	bpf_map_delete_elem(&watch_streams, &key);
	tell_stream(&h, &s, STREAM_CLOSE, op, b, p);
}
