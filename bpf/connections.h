/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * TCP connections of etcd: those that it accepted, those that it dialled, and those that other programs of this host have to
 * it, which tells who its local clients are.
 *
 * Most of a connection is told by the kernel's interrupts, in the context of any process. So an accepted one is known by the
 * port that etcd listens at, a dialled one by who began it.
 */
#pragma once

#include "process.h"
#include "reserve.h"
#include "sockets.h"

struct endpoint {
	__u32 network; /* name space; 0: any, for who dials from another one */
	__u16 port;
	__u16 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PROCESSES_MAX * 8);
	__type(key, struct endpoint);
	__type(value, __u32); /* the etcd that listens there */
} listeners SEC(".maps");

struct follow {
	__u32 tgid; /* whose the socket is */
	__u16 role; /* enum connection_role */
	__u16 established;
	__u8 name[16]; /* of the caller's process */
};

/* By address of the kernel's socket. What is pushed out is told when it is looked for next. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768); /* 3 MiB; an API server has about 100 */
	__type(key, __u64);
	__type(value, struct follow);
} followed SEC(".maps");

static __always_inline struct endpoint local_end(const struct sock *sk)
{
	return (struct endpoint){
		.network = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum),
		.port = BPF_CORE_READ(sk, __sk_common.skc_num),
	};
}

static __always_inline __u16 remote_port(const struct sock *sk) { return __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport)); }

static __always_inline bool calls_etcd(const struct sock *sk)
{
	struct endpoint there = {.port = remote_port(sk)};
	return bpf_map_lookup_elem(&listeners, &there);
}

/* The addresses and ports of both ends; sk may be a request_sock. */
static __always_inline void describe_ends(struct connection *c, const struct sock *sk)
{
	c->network = local_end(sk).network;
	c->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	c->remote_port = remote_port(sk);
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET) {
		c->address_len = 4;
		BPF_CORE_READ_INTO((__u32 *)c->local, sk, __sk_common.skc_rcv_saddr);
		BPF_CORE_READ_INTO((__u32 *)c->remote, sk, __sk_common.skc_daddr);
	} else {
		c->address_len = 16;
		BPF_CORE_READ_INTO(&c->local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&c->remote, sk, __sk_common.skc_v6_daddr);
	}
}

static __always_inline void describe(struct connection *c, const struct sock *sk, const struct follow *f, __u8 what)
{
	const struct tcp_sock *tcp = (const void *)sk;
	*c = (struct connection){
		.h = {.kind = RECORD_CONNECTION, .operation = what, .tgid = f->tgid, .ktime = bpf_ktime_get_ns()},
		.socket = (__u64)sk,
		.received = BPF_CORE_READ(tcp, bytes_received),
		.sent = BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans),
		.rtt_us = BPF_CORE_READ(tcp, srtt_us) >> 3,
		.retransmitted = BPF_CORE_READ(tcp, total_retrans),
		.unanswered = BPF_CORE_READ((const struct inet_connection_sock *)sk, icsk_retransmits),
		.error = BPF_CORE_READ(sk, sk_err),
		.role = f->role, .established = f->established,
	};
	describe_ends(c, sk);
	__builtin_memcpy(c->name, f->name, sizeof c->name);
}

static __always_inline void tell(const struct sock *sk, const struct follow *f, __u8 what)
{
	struct connection *c = reserve(sizeof *c);
	if (!c)
		return;
	describe(c, sk, f, what);
	submit(c);
}

/* Not of the thread, which may have another one. */
static __always_inline void name_of(const struct task_struct *task, struct follow *f)
{
	BPF_CORE_READ_STR_INTO(&f->name, task, group_leader, comm);
}

static __always_inline void begins(const struct sock *sk)
{
	struct follow f = {.tgid = bpf_get_current_pid_tgid() >> 32};
	__u64 key = (__u64)sk;
	if (traced(f.tgid))
		f.role = ROLE_DIALED;
	else if (calls_etcd(sk))
		f.role = ROLE_CALLER;
	else
		return;
	name_of((void *)bpf_get_current_task(), &f);
	bpf_map_update_elem(&followed, &key, &f, BPF_ANY);
}

static __always_inline void dialed(const struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct follow *f = bpf_map_lookup_elem(&followed, &key);
	if (!f)
		return;
	f->established = 1;
	tell(sk, f, CONNECTION_OPENED);
}

static __always_inline void accepted(const struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct endpoint here = local_end(sk);
	__u32 *tgid = bpf_map_lookup_elem(&listeners, &here);
	if (!tgid)
		return;
	struct follow f = {.tgid = *tgid, .role = ROLE_ACCEPTED, .established = 1};
	bpf_map_update_elem(&followed, &key, &f, BPF_ANY);
	tell(sk, &f, CONNECTION_OPENED);
}

static __always_inline void ends(const struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct follow *f = bpf_map_lookup_elem(&followed, &key);
	if (!f)
		return;
	if (f->established || f->role != ROLE_CALLER)
		tell(sk, f, CONNECTION_CLOSED);
	bpf_map_delete_elem(&followed, &key);
}

/* Twice in a row no answer came in time: 0.6 s at least after what was sent (RFC 6298: the wait doubles from 200 ms).
 * Linux counts the present one before 6.7 after this. */
#define STALLED 2

static __always_inline void sent_again(const struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct follow *f = bpf_map_lookup_elem(&followed, &key);
	if (f && f->established && f->role != ROLE_CALLER && BPF_CORE_READ((const struct inet_connection_sock *)sk, icsk_retransmits) >= STALLED)
		tell(sk, f, CONNECTION_STALLED);
}

/* The listening socket has answered who wants to connect, and answers again, since nothing came back. Told at the first time:
 * kernels that count that before they call us say 1, the others 0; user space knows one that it was told of before. */
static __always_inline void answered_again(const struct sock *sk, const struct request_sock *request)
{
	struct endpoint here = local_end(sk);
	__u32 *tgid = bpf_map_lookup_elem(&listeners, &here);
	if (!tgid || BPF_CORE_READ(request, num_retrans) > 1)
		return;
	struct connection *c = reserve(sizeof *c);
	if (!c)
		return;
	*c = (struct connection){
		.h = {.kind = RECORD_CONNECTION, .operation = CONNECTION_HALF_OPEN, .tgid = *tgid, .ktime = bpf_ktime_get_ns()},
		.role = ROLE_ACCEPTED,
	};
	describe_ends(c, (const void *)request);
	submit(c);
}

/* Where etcd listens is learned from its own sockets. */
static __always_inline void listens(const struct sock *sk, __u32 tgid)
{
	struct endpoint here = local_end(sk), anywhere = {.port = here.port};
	bpf_map_update_elem(&listeners, &here, &tgid, BPF_ANY);
	bpf_map_update_elem(&listeners, &anywhere, &tgid, BPF_ANY);
}

/* An open file of any process of the host. f says whose a connection is, and its role is 0 where it is none of etcd's. */
static __always_inline void look(const struct sock *sk, struct follow *f, const struct task_struct *task)
{
	__u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);
	f->tgid = BPF_CORE_READ(task, tgid);
	bool etcd = traced(f->tgid);
	if (state == TCP_LISTEN) {
		__u16 protocol = BPF_CORE_READ(sk, sk_protocol); /* Go listens for both */
		if (etcd && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP))
			listens(sk, f->tgid);
		return;
	}
	if (!is_tcp(sk) || state == TCP_CLOSE || state == TCP_SYN_SENT)
		return;
	struct endpoint here = local_end(sk);
	__u32 *listener = bpf_map_lookup_elem(&listeners, &here);
	if (etcd)
		f->role = listener && *listener == f->tgid ? ROLE_ACCEPTED : ROLE_DIALED;
	else if (calls_etcd(sk))
		f->role = ROLE_CALLER;
	else
		return;
	name_of(task, f);
	__u64 key = (__u64)sk;
	struct follow *known = bpf_map_lookup_elem(&followed, &key);
	if (f->role == ROLE_CALLER && known && known->role == ROLE_CALLER)
		*f = *known; /* who dialled, also when it has handed the socket on: a child that was forked just now has it too */
	f->established = 1;
	bpf_map_update_elem(&followed, &key, f, BPF_ANY); /* the caller of one etcd may be another one that is traced since */
	if (BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_CLOSE) /* meanwhile: ends has not found it */
		bpf_map_delete_elem(&followed, &key);
}
