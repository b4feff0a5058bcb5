/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Requests on streams, which logUnaryRequestStats does not see: told as they begin, and the ends of watches.
 */
#pragma once

#include "requests.h"

/* What begins or ends where a probe of a stream is: struct operation.stream. */
enum stream { STREAM_WATCH = 1, STREAM_KEEPALIVE, STREAM_SNAPSHOT, STREAM_RANGE, STREAM_CANCEL, STREAM_CLOSE };

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

/* v3rpc.(*serverWatchStream).isWatchPermitted(wcr) */
static __always_inline void take_watch(long *missing, struct pt_regs *ctx, const struct header *h, struct served *s, const struct binary *b)
{
	__u64 server = argument(missing, ctx, b, 0);
	s->request = argument(missing, ctx, b, 1);
	if (b->watch_stream != NONE)
		s->ctx = take_word(missing, server + b->watch_stream + 8);
	s->began = follow_watches(missing, h, b, server, s->ctx);
}

/* etcdserver.(*EtcdServer).LeaseRenew(ctx, id): the id is the request */
static __always_inline void take_keepalive(long *missing, struct pt_regs *ctx, struct served *s, const struct binary *b)
{
	s->ctx = argument(missing, ctx, b, 2);
	s->number = argument(missing, ctx, b, 3);
}

/* While auth is on, etcd asks who wants a copy of the database in the call before: what was noted then is this user. That lies
 * microseconds back, ns, but on a busy host a thread may have to wait in between. Nobody else's can be noted: without a user
 * there is no copy. */
#define ASKED_BEFORE 1000000000

/* v3rpc.(*maintenanceServer).Snapshot(sr, srv), v3rpc.(*kvServer).RangeStream(r, rs) */
static __always_inline void take_answers(long *missing, struct pt_regs *ctx, const struct header *h, struct served *s, const struct binary *b, __u8 stream)
{
	s->ctx = argument(missing, ctx, b, 3);
	s->request = argument(missing, ctx, b, 1);
	if (stream == STREAM_SNAPSHOT)
		s->began = h->ktime - ASKED_BEFORE;
}

/* mvcc.(*watchStream).Cancel(id): the client wants no more of one watch. What etcd ends by itself does not come here. */
static __always_inline void take_cancel(long *missing, struct pt_regs *ctx, struct served *s, const struct binary *b, const struct watch_stream *w)
{
	s->number = argument(missing, ctx, b, 1);
	if (!w)
		return;
	s->ctx = w->ctx;
	s->began = w->began;
}

/* mvcc.(*watchStream).Close(): the stream has ended, on another goroutine than the one that read it. The number is how long
 * it lasted. */
static __always_inline void take_close(const struct header *h, struct served *s, const struct watch_stream_key *key, const struct watch_stream *w)
{
	s->ctx = w->ctx;
	s->number = h->ktime - w->began;
	bpf_map_delete_elem(&watch_streams, key);
}

/* What begins or ends where the thread has stopped, of which it gives the operation if a record leaves. Not inline: stack is
 * short. */
static __noinline struct operation *stream_met(struct pt_regs *ctx, const struct header *h, struct served *s, const struct binary *b, const struct process *p)
{
	long missing = 0;
	struct operation_key key = {.type = place(ctx, p), .binary = p->binary};
	struct operation *op = bpf_map_lookup_elem(&operations, &key);
	if (!op)
		return NULL;
	s->ctx = nothing(ctx);
	s->method = nothing(ctx);
	s->wall = nothing(ctx);
	s->request = nothing(ctx);
	s->response = nothing(ctx);
	s->began = ~nothing(ctx);
	s->ext = h->ktime;
	s->flags = REQUEST_BY_KTIME;
	if (op->stream == STREAM_WATCH) {
		take_watch(&missing, ctx, h, s, b);
	} else if (op->stream == STREAM_KEEPALIVE) {
		take_keepalive(&missing, ctx, s, b);
	} else if (op->stream == STREAM_SNAPSHOT || op->stream == STREAM_RANGE) {
		take_answers(&missing, ctx, h, s, b, op->stream);
	} else {
		struct watch_stream_key of = {.watchers = argument(&missing, ctx, b, 0), .tgid = h->tgid};
		struct watch_stream *w = bpf_map_lookup_elem(&watch_streams, &of);
		if (op->stream == STREAM_CANCEL)
			take_cancel(&missing, ctx, s, b, w);
		else if (w)
			take_close(h, s, &of, w);
		else
			op = NULL; /* a stream without watches, or older than the probes */
	}
	count_missing(&missing);
	if (!op)
		return NULL;
	if (p->checked)
		distribute(h->tgid, RECORD_STREAM, op->code, 0);
	return op->emit ? op : NULL;
}
