/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Unary requests: one trap for each that succeeds.
 *
 * etcd 3.5 and later calls v3rpc.logUnaryRequestStats at the end of each, with context, method, start, request and
 * response. 3.4 does so at debug level only: old.h. Why a request failed: failures.h.
 *
 * All programs sit on the conditional jump of the stack check: the arguments are still in registers, and the kernel
 * emulates it, one trap of about 0.6 us; the first instruction would be stepped over with a second trap, 9 us.
 */
#pragma once

#include "distribution.h"
#include "peer.h"

/* A request that has been served, or has failed, or begins or ends on a stream. */
struct served {
	__u64 ctx, method; /* method: address of the string */
	__u64 wall, ext;
	__u64 request_type, request;
	__u64 response;
	__u64 began;  /* ns of CLOCK_MONOTONIC; a user that was noted before is another one's */
	__s64 number; /* what op->number tells, where that is in no message */
	__u16 flags;
};

const volatile __u64 slow_request = 100000000; /* ns */
const volatile __u32 sample_below = 0; /* of 2^32: a fast read leaves if its random number is below */

/* The user of the request that this goroutine is at, or was at: one that did not leave has left it here. */
struct goroutine {
	__u32 tgid, reserved;
	__u64 g;
};

struct user {
	__u64 ktime;
	__u8 len;
	__u8 reserved[7];
	__u8 name[NAME_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct goroutine);
	__type(value, struct user);
} users SEC(".maps");

/* How exactly the start of a request is known, ns. Between two requests of a goroutine lies far more. */
#define CLOCKS_DIFFER 2000

static __always_inline struct header header(struct pt_regs *ctx, __u8 kind, __u8 layout)
{
	__u64 id = bpf_get_current_pid_tgid();
	return (struct header){
		.kind = kind, .tgid = id >> 32, .tid = (__u32)id, .ktime = bpf_ktime_get_ns(),
		.goroutine = layout == LAYOUT_STACK ? 0 : GO_G(ctx),
	};
}

/* key and range end, or name of the method, into data: the last that is read of a request. */
static __always_inline void take_data(long *missing, struct request *r, __u8 *data, __u32 half, const struct go_string *key, const struct go_string *end)
{
	r->key_kept = take_text(missing, data, key, half);
	r->end_kept = take_text(missing, data + half, end, half);
	if (*missing)
		r->h.flags |= REQUEST_PARTIAL;
}

static __always_inline void take_request(long *missing, struct request *r, const struct header *h, const struct served *s, const struct operation *op,
					 const struct binary *b, const struct process *p, __u64 peer, const struct go_string *key, const struct go_string *end)
{
	r->h = *h;
	r->h.kind = op->stream ? RECORD_STREAM : RECORD_REQUEST;
	r->h.operation = op->code;
	r->h.flags = s->flags;
	r->wall = s->wall;
	r->ext = s->ext;
	r->cluster = r->member = r->revision = 0;
	r->key_len = key->data ? key->len : -1;
	r->end_len = end->data ? end->len : -1;
	r->client_port = 0;
	r->client_len = r->user_len = r->subject_len = 0;
	r->number = op->number == NONE ? s->number : take_number(missing, s->request, op->number, op->number_size);
	r->value_len = take_number(missing, s->request, op->value, 8);
	r->count = take_number(missing, s->response, op->count, op->count_size);
	r->answer = take_number(missing, s->response, op->answer, op->answer_size);
	__u64 response_header = s->response && op->header != NONE ? take_word(missing, s->response + op->header) : 0;
	if (response_header) {
		r->cluster = take_word(missing, response_header + b->cluster);
		r->member = take_word(missing, response_header + b->member);
		r->revision = take_word(missing, response_header + b->revision);
	}
	struct goroutine g = {.tgid = h->tgid, .g = h->goroutine};
	if (p->users) {
		struct user *u = bpf_map_lookup_elem(&users, &g);
		if (u && u->ktime + CLOCKS_DIFFER >= s->began) {
			r->user_len = u->len;
			__builtin_memcpy(r->user, u->name, NAME_MAX);
		}
		if (!op->stream)
			bpf_map_delete_elem(&users, &g);
	}
	take_peer(missing, r, peer, b, p->bias);
}

/* How many keys operation i, a delete, has deleted: size is 0 if it is none. */
static __always_inline void take_deleted(long *missing, __s64 *to, __u32 size, __u64 responses, __u32 i, const struct binary *b)
{
	__u64 response = take_word(missing, responses + 8 * i); /* *ResponseOp */
	__u64 wrapper = take_word(missing, response + b->response_op + 8);
	take(missing, to, size, take_word(missing, wrapper) + b->deleted);
}

/* The operations of the branch that ran follow, each as a record of its own. Operation `which`; the upper half of that has
 * the flags of the record. Each way through a loop is verified, so what is in it has few branches, and what an operation
 * does not have is read with size 0. */
static __always_inline int take_inner(__u64 list, __u64 responses, __u64 which, __u64 goroutine, __u64 ktime)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tgid = id >> 32, i = (__u32)which;
	struct process *p = bpf_map_lookup_elem(&processes, &tgid);
	struct binary *b = p ? bpf_map_lookup_elem(&binaries, &p->binary) : NULL;
	if (!b)
		return 0;
	long missing = 0;
	struct operation_key type = {.binary = p->binary};
	struct go_interface wrapped;
	__u64 one = take_word(&missing, list + 8 * i); /* *RequestOp */
	take(&missing, &wrapped, sizeof wrapped, one + b->operation);
	__u64 wrapper = take_word(&missing, wrapped.tab + 8);
	type.type = wrapper ? wrapper - p->bias : 0; /* what cannot be read is told as one that is not known */
	__u64 message = take_word(&missing, wrapped.data);
	struct operation *op = bpf_map_lookup_elem(&operations, &type);
	struct inner *r = op ? reserve(sizeof *r) : NULL;
	if (!r)
		return 0;
	struct {
		struct go_string key, end;
	} *is = (void *)r->data; /* until it is needed; the stack has little room */
	__builtin_memset(is, 0, sizeof *is);
	r->value_len = r->number = UNKNOWN;
	take(&missing, &is->key, op->key_size & 16, message + op->key);
	take(&missing, &is->end, op->end_size & 16, message + op->end);
	take(&missing, &r->value_len, op->value_size & 8, message + op->value);
	take(&missing, &r->number, op->number_size & 8, message + op->number);
	take_deleted(&missing, &r->number, op->answer_size & 8, responses, i, b);
	struct go_string key = is->key, end = is->end;
	r->h = (struct header){
		.kind = RECORD_INNER, .operation = op->code, .flags = which >> 32, .tgid = tgid, .tid = (__u32)id, .goroutine = goroutine, .ktime = ktime,
	};
	r->index = i;
	r->key_len = key.len;
	r->end_len = end.len;
	r->key_kept = take_text(&missing, r->data, &key, DATA_LARGE / 2);
	r->end_kept = take_text(&missing, r->data + DATA_LARGE / 2, &end, DATA_LARGE / 2);
	if (missing) { /* an operation that is not known: what could not be read is 0, and must not be told */
		r->h.operation = 0;
		r->key_len = r->end_len = -1;
		r->key_kept = r->end_kept = 0;
		r->value_len = r->number = UNKNOWN;
		count(COUNT_UNREADABLE);
	}
	submit(r);
	return 0;
}

/* Before 6.4 a loop is verified as often as it may run, which takes seconds unless what it calls is verified by itself: a
 * function that is not static. It is given numbers only, and may not be called under the guard, which is newer. */
int take_inner_apart(__u64 list, __u64 responses, __u64 which, __u64 goroutine, __u64 ktime)
{
	return take_inner(list, responses, which, goroutine, ktime);
}

static __noinline int take_inner_within(__u64 list, __u64 responses, __u64 which, __u64 goroutine, __u64 ktime)
{
	return take_inner(list, responses, which, goroutine, ktime);
}

static __noinline void take_transaction(const struct header *h, const struct served *s, const struct binary *b)
{
	long missing = 0;
	struct go_string list;
	bool succeeded = take_number(&missing, s->response, b->txn_succeeded, 1) == 1;
	__u64 responses = take_word(&missing, s->response + b->txn_responses), flags = succeeded ? 0 : (__u64)INNER_ELSE << 32;
	take(&missing, &list, sizeof list, s->request + (succeeded ? b->txn_success : b->txn_failure));
	if (missing) {
		count(COUNT_UNREADABLE);
		return;
	}
	if (list.len > INNER_MAX)
		list.len = INNER_MAX;
	if (bpf_iter_num_new) {
		struct bpf_iter_num it;
		int *i;
		bpf_iter_num_new(&it, 0, list.len);
		while ((i = bpf_iter_num_next(&it)))
			take_inner_within(list.data, responses, flags | (__u32)*i, h->goroutine, h->ktime);
		bpf_iter_num_destroy(&it);
		return;
	}
	for (__u32 i = 0; i < INNER_MAX && i < list.len; i++)
		take_inner_apart(list.data, responses, flags | i, h->goroutine, h->ktime);
}

static __noinline void emit(const struct header *h, const struct served *s, const struct operation *op, const struct binary *b, const struct process *p)
{
	long missing = 0;
	struct go_string key = {}, end = {};
	if (op->key != NONE)
		take(&missing, &key, sizeof key, (op->code ? s->request : s->method) + op->key);
	if (op->end != NONE)
		take(&missing, &end, sizeof end, s->request + op->end);
	/* Once, and not for both sizes of a record; from 0 on, which is nowhere, where the key is not known. */
	__u64 peer = find_peer(s->ctx & (is_zero(b->peer_key) - 1), b->peer_key + p->bias);
	if (key.len <= DATA_SMALL / 2 && end.len <= DATA_SMALL / 2) {
		struct request *r = reserve(sizeof *r);
		if (!r)
			return;
		take_request(&missing, r, h, s, op, b, p, peer, &key, &end);
		take_data(&missing, r, r->data, DATA_SMALL / 2, &key, &end);
		submit(r);
	} else {
		struct large_request *l = reserve(sizeof *l);
		if (!l)
			return;
		take_request(&missing, &l->r, h, s, op, b, p, peer, &key, &end);
		take_data(&missing, &l->r, l->r.data, DATA_LARGE / 2, &key, &end);
		submit(l);
	}
	count_missing(&missing);
}

/* Decides whether a request leaves, of which it gives the operation if so. First what costs least: most requests are reads
 * that do not. */
static __noinline struct operation *finish(const struct header *h, struct served *s, const struct binary *b, const struct process *p)
{
	struct operation_key key = {.type = s->request_type - p->bias, .binary = p->binary};
	struct operation *op = bpf_map_lookup_elem(&operations, &key);
	if (!op) {
		key.type = 0;
		op = bpf_map_lookup_elem(&operations, &key);
		if (!op)
			return NULL;
	}
	__u64 began = s->wall ? s->ext + p->start_nano : s->ext;
	s->began = began;
	/* Without a branch, after which the verifier would go through all that follows once with a response and once without. */
	__u64 failed = is_zero(s->response), leaves = failed | op->emit | !p->checked;
	s->flags |= failed * REQUEST_FAILED;
	if ((!s->wall || p->start_nano) && h->ktime >= began) {
		if (!failed && p->checked)
			distribute(h->tgid, RECORD_REQUEST, op->code, h->ktime - began);
		if (h->ktime - began >= slow_request) {
			s->flags |= REQUEST_SLOW;
			leaves = 1;
		}
	}
	if (!leaves && sample_below && bpf_get_prandom_u32() < sample_below) {
		s->flags |= REQUEST_SAMPLED;
		leaves = 1;
	}
	return leaves ? op : NULL;
}

/* Makes the records of a request. Not from finish, as calls within calls share 512 bytes of stack; and from one place in
 * a program only, as it is verified for each. */
static __always_inline void make_records(const struct header *h, const struct served *s, const struct operation *op, const struct binary *b, const struct process *p)
{
	emit(h, s, op, b, p);
	if (op->txn & !is_zero(s->response)) /* what has failed has done nothing */
		take_transaction(h, s, b);
}

/* Where the thread has stopped, as linked. */
static __always_inline __u64 place(struct pt_regs *ctx, const struct process *p)
{
	return GO_PC(ctx) - p->bias;
}

static __always_inline bool find(struct pt_regs *ctx, __u8 kind, struct header *h, struct process **p, struct binary **b)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	*p = bpf_map_lookup_elem(&processes, &tgid);
	if (!*p)
		return false;
	*b = bpf_map_lookup_elem(&binaries, &(*p)->binary);
	if (!*b)
		return false;
	*h = header(ctx, kind, (*b)->layout);
	return true;
}

/* v3rpc.logUnaryRequestStats(ctx, lg, [warnLatency,] info, startTime, req, resp) */
static __always_inline void take_served(long *missing, struct pt_regs *ctx, struct served *s, const struct binary *b)
{
	__u64 stack[4], info;
	if (b->layout == LAYOUT_STACK) {
		__u64 arguments = GO_SP(ctx) + 8;
		s->ctx = take_word(missing, arguments + 8);
		take(missing, stack, 24, arguments + 24);
		info = stack[0];
		s->wall = stack[1];
		s->ext = stack[2];
		take(missing, stack, 32, arguments + 56);
		s->request_type = stack[0];
		s->request = stack[1];
		s->response = stack[3];
	} else if (b->layout == LAYOUT_SHORT) {
		s->ctx = GO_REG1(ctx);
		info = GO_REG3(ctx);
		s->wall = GO_REG4(ctx);
		s->ext = GO_REG5(ctx);
		s->request_type = GO_REG7(ctx);
		s->request = GO_REG8(ctx);
#if defined(__TARGET_ARCH_x86)
		s->response = take_word(missing, GO_SP(ctx) + 16);
#else
		s->response = GO_REG10(ctx);
#endif
	} else {
		s->ctx = GO_REG1(ctx);
		info = GO_REG4(ctx);
		s->wall = GO_REG5(ctx);
		s->ext = GO_REG6(ctx);
#if defined(__TARGET_ARCH_x86)
		take(missing, stack, 32, GO_SP(ctx) + 8);
		s->request_type = stack[0];
		s->request = stack[1];
		s->response = stack[3];
#else
		s->request_type = GO_REG8(ctx);
		s->request = GO_REG9(ctx);
		s->response = GO_REG11(ctx);
#endif
	}
	s->method = info + 16; /* grpc.UnaryServerInfo.FullMethod */
}

/* A request that has been served, of which it gives the operation if a record leaves. Not inline: stack is short. */
static __noinline struct operation *unary_served(struct pt_regs *ctx, const struct header *h, struct served *s, const struct binary *b, const struct process *p)
{
	long missing = 0;
	take_served(&missing, ctx, s, b);
	if (missing) { /* what it was given: nothing could be told of it, least of all whether it failed */
		count_missing(&missing);
		count_lost();
		return NULL;
	}
	return finish(h, s, b, p);
}

/* In etcdserver.(*EtcdServer).AuthInfoFromCtx, after authStore's has returned: AX is *auth.AuthInfo, Username at 0. */
static __always_inline void on_user(long *missing, struct pt_regs *ctx)
{
	struct go_string name;
	struct user u = {};
	struct process *p;
	struct binary *b;
	struct header h;
	if (!GO_REG0(ctx) || !find(ctx, RECORD_REQUEST, &h, &p, &b) || !take(missing, &name, sizeof name, GO_REG0(ctx)))
		return;
	u.ktime = h.ktime;
	u.len = take_text(missing, u.name, &name, NAME_MAX);
	struct goroutine g = {.tgid = h.tgid, .g = h.goroutine};
	bpf_map_update_elem(&users, &g, &u, BPF_ANY);
}
