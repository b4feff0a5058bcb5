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

/* While auth is on, etcd asks who wants a copy of the database in the call before: what was noted then is this user. That lies
 * microseconds back, ns, but on a busy host a thread may have to wait in between. Nobody else's can be noted: without a user
 * there is no copy. */
#define ASKED_BEFORE 1000000000

/* One program for all of them, because what a record takes is verified once for each program that makes one. */
static __always_inline void on_stream(long *missing, struct pt_regs *ctx)
{
	struct process *p;
	struct binary *b;
	struct header h;
	if (STACK_WILL_GROW(ctx) || !find(ctx, RECORD_STREAM, &h, &p, &b))
		return;
	struct operation_key key = {.type = GO_PC(ctx) - p->bias, .binary = p->binary};
	struct operation *op = bpf_map_lookup_elem(&operations, &key);
	if (!op)
		return;
	__u64 first = argument(missing, ctx, b, 0), second = argument(missing, ctx, b, 1);
	struct served s = {.ext = h.ktime, .began = ~0ULL, .number = UNKNOWN, .flags = REQUEST_BY_KTIME};
	if (op->stream == STREAM_WATCH) { /* v3rpc.(*serverWatchStream).isWatchPermitted(wcr) */
		s.request = second;
		s.ctx = b->watch_stream == NONE ? 0 : take_word(missing, first + b->watch_stream + 8);
		s.began = follow_watches(missing, &h, b, first, s.ctx);
	} else if (op->stream == STREAM_KEEPALIVE) { /* etcdserver.(*EtcdServer).LeaseRenew(ctx, id): the id is the request */
		s.ctx = argument(missing, ctx, b, 2);
		s.number = argument(missing, ctx, b, 3);
	} else if (op->stream == STREAM_SNAPSHOT || op->stream == STREAM_RANGE) {
		/* v3rpc.(*maintenanceServer).Snapshot(sr, srv), v3rpc.(*kvServer).RangeStream(r, rs) */
		s.ctx = argument(missing, ctx, b, 3);
		s.request = second;
		if (op->stream == STREAM_SNAPSHOT)
			s.began = h.ktime - ASKED_BEFORE;
	} else {
		struct watch_stream_key of = {.watchers = first, .tgid = h.tgid};
		struct watch_stream *w = bpf_map_lookup_elem(&watch_streams, &of);
		if (op->stream == STREAM_CANCEL) {
			/* mvcc.(*watchStream).Cancel(id): the client wants no more of one watch. What etcd ends by itself does not
			 * come here. */
			s.number = second;
			if (w) {
				s.ctx = w->ctx;
				s.began = w->began;
			}
		} else {
			/* mvcc.(*watchStream).Close(): the stream has ended, on another goroutine than the one that read it. The
			 * number is how long it lasted. */
			if (!w)
				return; /* a stream without watches, or older than the probes */
			s.ctx = w->ctx;
			s.number = h.ktime - w->began;
			bpf_map_delete_elem(&watch_streams, &of);
		}
	}
	count_missing(missing);
	if (p->checked)
		distribute(h.tgid, RECORD_STREAM, op->code, 0);
	if (op->emit)
		emit(&h, &s, op, b, p);
}
