//go:build ignore

/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * TCP connections of etcd, from the kernel's tracepoints with BTF and its list of open files. No packet and no byte of what
 * is sent is looked at: a connection that begins, ends or sends again costs the host one or two lookups.
 */
#include "connections.h"

char license_text[] SEC("license") = "Dual MIT/GPL";

const struct connection *tell_connection __attribute__((unused));
const enum connection_event *tell_event __attribute__((unused));
const enum connection_role *tell_role __attribute__((unused));

/* (socket, state before, state now) */
static __always_inline void moved(const struct sock *sk, int from, int to)
{
	if (!is_tcp(sk))
		return;
	if (to == TCP_SYN_SENT)
		begins(sk);
	else if (to == TCP_ESTABLISHED && from == TCP_SYN_SENT)
		dialed(sk);
	else if (to == TCP_ESTABLISHED && from == TCP_SYN_RECV)
		accepted(sk);
	else if (to == TCP_CLOSE)
		ends(sk);
}
TRACEPOINT(inet_sock_set_state, moved((void *)ctx[0], ctx[1], ctx[2]))

/* (socket, packet) */
TRACEPOINT(tcp_retransmit_skb, sent_again((void *)ctx[0]))

/* (listening socket, connection that is asked for) */
TRACEPOINT(tcp_retransmit_synack, answered_again((void *)ctx[0], (void *)ctx[1]))

/* What is open now, and where etcd listens: as user space reads it. */
#define S_IFMT 0170000
#define S_IFSOCK 0140000
SEC("iter/task_file")
int open_connections(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	if (!task || !file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	struct socket *socket = BPF_CORE_READ(file, private_data);
	struct sock *sk = BPF_CORE_READ(socket, sk);
	struct follow f = {};
	if (sk)
		look(sk, &f, task);
	if (!f.role)
		return 0;
	struct connection c;
	describe(&c, sk, &f, CONNECTION_FOUND);
	bpf_seq_write(ctx->meta->seq, &c, sizeof c);
	return 0;
}
