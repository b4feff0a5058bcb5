/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * TCP connections of etcd and to it, as the kernel's events tell them: both ends and what becomes of them, but neither whose
 * a connection is that comes in, nor what it has moved. User space knows where etcd listens and what was open before, from
 * /proc. A connection that begins, ends or sends again costs the host one to three lookups.
 */
#pragma once

#include "process.h"
#include "ring.h"
#include "tcp.h"

/* Where an event has it. */
struct event_fields {
	__u32 socket; /* its address in the kernel */
	__u32 local_port, remote_port, local, remote; /* addresses of IPv6, which those of IPv4 are mapped to */
};

const volatile struct event_fields state_at, again_at, answer_at, reset_at;
const volatile __u32 state_before_at, state_now_at, protocol_at, protocol_mask;

struct ends {
	__u8 local[16], remote[16];
	__u16 local_port, remote_port;
};

/* Ports at which an etcd that is traced listens, in whatever name space. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PROCESSES_MAX * 8);
	__type(key, __u16);
	__type(value, __u8);
} ports SEC(".maps");

/* A connection whose beginning was not told, as user space has found it. */
struct found {
	__u64 socket; /* as user space calls it */
	__u32 tgid;
	__u32 role; /* enum connection_role */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384); /* 2 MiB: a map that allocates as it goes has kernels before 6.1 warn */
	__type(key, struct ends);
	__type(value, struct found);
} found_connections SEC(".maps");

struct follow {
	__u64 socket;
	__u64 again; /* when it last sent again, 0: never */
	__u32 tgid;  /* of who dialled; not known of one that came in */
	__u16 role;
	__u8 established, reset;
	__u8 name[16]; /* of the thread that dialled */
};

/* By address of the kernel's socket. What is pushed out is told when user space looks for it next. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, __u64);
	__type(value, struct follow);
} followed SEC(".maps");

static __always_inline __u16 port_at(const void *event, __u32 at)
{
	__u16 port = 0;
	bpf_probe_read_kernel(&port, sizeof port, event + at);
	return port;
}

static __always_inline void read_ends(struct ends *e, const void *event, const volatile struct event_fields *at)
{
	bpf_probe_read_kernel(e->local, sizeof e->local, event + at->local);
	bpf_probe_read_kernel(e->remote, sizeof e->remote, event + at->remote);
	e->local_port = port_at(event, at->local_port);
	e->remote_port = port_at(event, at->remote_port);
}

static __always_inline __u64 read_socket(const void *event, const volatile struct event_fields *at)
{
	__u64 socket = 0;
	bpf_probe_read_kernel(&socket, sizeof socket, event + at->socket);
	return socket;
}

static __always_inline bool etcd_listens(__u16 port) { return bpf_map_lookup_elem(&ports, &port); }

static __always_inline void tell_connection(void *event, const struct ends *e, const struct follow *f, __u8 what, __u32 error)
{
	struct connection c = {
		.h = {.kind = RECORD_CONNECTION, .operation = what, .tgid = f->tgid, .ktime = bpf_ktime_get_ns()},
		.socket = f->socket, .error = error, .role = f->role, .established = f->established,
		.local_port = e->local_port, .remote_port = e->remote_port, .address_len = sizeof e->local,
	};
	__builtin_memcpy(c.local, e->local, sizeof c.local);
	__builtin_memcpy(c.remote, e->remote, sizeof c.remote);
	__builtin_memcpy(c.name, f->name, sizeof c.name);
	output(event, &c, sizeof c);
}

/* What is known of a connection, NULL if it is none of etcd's. */
static __always_inline struct follow *whose(__u64 socket, const struct ends *e)
{
	struct follow *f = bpf_map_lookup_elem(&followed, &socket);
	if (f)
		return f;
	struct found *known = bpf_map_lookup_elem(&found_connections, e);
	if (!known)
		return NULL;
	struct follow first = {.socket = known->socket, .tgid = known->tgid, .role = known->role, .established = 1};
	bpf_map_update_elem(&followed, &socket, &first, BPF_ANY);
	return bpf_map_lookup_elem(&followed, &socket);
}

static __always_inline void begins(__u64 socket, const struct ends *e)
{
	struct follow f = {.socket = socket, .tgid = bpf_get_current_pid_tgid() >> 32};
	if (traced(f.tgid))
		f.role = ROLE_DIALED;
	else if (etcd_listens(e->remote_port))
		f.role = ROLE_CALLER;
	else
		return;
	bpf_get_current_comm(f.name, sizeof f.name);
	bpf_map_update_elem(&followed, &socket, &f, BPF_ANY);
}

static __always_inline void dialed(void *event, __u64 socket, const struct ends *e)
{
	struct follow *f = bpf_map_lookup_elem(&followed, &socket);
	if (!f)
		return;
	f->established = 1;
	f->again = 0;
	tell_connection(event, e, f, CONNECTION_OPENED, 0);
}

static __always_inline void accepted(void *event, __u64 socket, const struct ends *e)
{
	if (!etcd_listens(e->local_port))
		return;
	struct follow f = {.socket = socket, .role = ROLE_ACCEPTED, .established = 1};
	bpf_map_update_elem(&followed, &socket, &f, BPF_ANY);
	tell_connection(event, e, &f, CONNECTION_OPENED, 0);
}

#define ECONNRESET 104
#define ETIMEDOUT 110
#define ECONNREFUSED 111
#define EHOSTUNREACH 113
#define EPIPE 32

/* The errno that the kernel has noted, as far as the events tell: tcp_reset of net/ipv4/tcp_input.c. Without a reset and
 * without a FIN a connection ends by its owner, or by a timer, which runs wherever it does. */
static __always_inline __u32 error_of(const struct follow *f, __u32 from)
{
	if (f->reset)
		return from == TCP_SYN_SENT ? ECONNREFUSED : from == TCP_CLOSE_WAIT ? EPIPE : ECONNRESET;
	if (traced(bpf_get_current_pid_tgid() >> 32))
		return 0;
	if (from == TCP_SYN_SENT)
		return f->again ? ETIMEDOUT : EHOSTUNREACH; /* a router has said so, before it was asked again */
	return from == TCP_ESTABLISHED || from == TCP_CLOSE_WAIT ? ETIMEDOUT : 0;
}

static __always_inline void ended(void *event, __u64 socket, const struct ends *e, __u32 from)
{
	struct follow *f = whose(socket, e);
	if (!f)
		return;
	if (f->established || f->role != ROLE_CALLER)
		tell_connection(event, e, f, CONNECTION_CLOSED, error_of(f, from));
	bpf_map_delete_elem(&followed, &socket);
}

static __always_inline void moved(void *event)
{
	__u32 from = 0, to = 0, protocol = 0;
	bpf_probe_read_kernel(&to, sizeof to, event + state_now_at);
	if (to != TCP_SYN_SENT && to != TCP_ESTABLISHED && to != TCP_CLOSE)
		return;
	bpf_probe_read_kernel(&from, sizeof from, event + state_before_at);
	bpf_probe_read_kernel(&protocol, sizeof protocol, event + protocol_at);
	if ((protocol & protocol_mask) != IPPROTO_TCP || from == TCP_LISTEN)
		return;
	__u64 socket = read_socket(event, &state_at);
	struct ends e;
	read_ends(&e, event, &state_at);
	if (to == TCP_SYN_SENT)
		begins(socket, &e);
	else if (to == TCP_CLOSE)
		ended(event, socket, &e, from);
	else if (from == TCP_SYN_SENT)
		dialed(event, socket, &e);
	else if (from == TCP_SYN_RECV)
		accepted(event, socket, &e);
}

/* How long TCP waits for an answer, ns: at least, at most (TCP_RTO_MIN, TCP_RTO_MAX of include/net/tcp.h). What is sent again
 * so long after it was has probably not been answered; user space looks. */
#define WAIT_MIN 200000000ULL
#define WAIT_MAX 120000000000ULL

static __always_inline void sent_again(void *event)
{
	__u64 socket = read_socket(event, &again_at);
	struct ends e;
	read_ends(&e, event, &again_at);
	struct follow *f = whose(socket, &e);
	if (!f)
		return;
	__u64 now = bpf_ktime_get_ns(), before = f->again, waited = now - before;
	f->again = now;
	if (f->established && f->role != ROLE_CALLER && before && waited >= WAIT_MIN && waited <= WAIT_MAX)
		tell_connection(event, &e, f, CONNECTION_STALLED, 0);
}

static __always_inline void was_reset(void *event)
{
	__u64 socket = read_socket(event, &reset_at);
	struct ends e;
	read_ends(&e, event, &reset_at);
	struct follow *f = whose(socket, &e);
	if (f)
		f->reset = 1;
}

/* When a connection that has not come up was last answered again, ns. The kernel keeps 4096 of a port by default. What is
 * pushed out is told again: user space knows those that it was told of just before. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192); /* 1 MiB */
	__type(key, struct ends);
	__type(value, __u64);
} half_open SEC(".maps");

/* After which time one is another one, ns: the last two answers are 16 s apart. */
#define ANSWERED_LONG_AGO 20000000000ULL

static __always_inline void answered_again(void *event)
{
	struct ends e;
	read_ends(&e, event, &answer_at);
	if (!etcd_listens(e.local_port))
		return;
	__u64 now = bpf_ktime_get_ns();
	__u64 *before = bpf_map_lookup_elem(&half_open, &e);
	bool told = before && now - *before < ANSWERED_LONG_AGO;
	bpf_map_update_elem(&half_open, &e, &now, BPF_ANY);
	struct follow none = {.role = ROLE_ACCEPTED};
	if (!told)
		tell_connection(event, &e, &none, CONNECTION_HALF_OPEN, 0);
}
