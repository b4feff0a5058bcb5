/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What of the kernel's sockets the programs use. Found by name in the running kernel's BTF.
 */
#pragma once

#include "kernel.h"
#include "tcp.h"

#include <bpf/bpf_core_read.h>

#define CORE __attribute__((preserve_access_index))

struct in6_addr {
	__u8 s6_addr[16]; /* the kernel's own struct has a union here, at the same place */
};

struct ns_common {
	unsigned int inum;
} CORE;

struct net {
	struct ns_common ns;
} CORE;

typedef struct {
	struct net *net;
} CORE possible_net_t;

struct sock_common {
	__u32 skc_daddr, skc_rcv_saddr; /* both of the network's byte order */
	__u16 skc_dport;		/* likewise */
	__u16 skc_num;			/* of the host's: the local port */
	unsigned short skc_family;
	unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
} CORE;

struct sock {
	struct sock_common __sk_common;
	int sk_err;
	__u16 sk_protocol; /* Linux 5.6; a field of bits before */
} CORE;

/* A connection of which the last segment of the handshake has not come: it begins with a sock_common too. */
struct request_sock {
	__u8 num_retrans;
} CORE;

struct inet_connection_sock {
	__u8 icsk_retransmits; /* one after the other, without an answer */
} CORE;

struct tcp_sock {
	__u64 bytes_received, bytes_sent, bytes_retrans; /* of data; Linux 4.19 */
	__u32 srtt_us;					 /* eight times the smoothed round trip */
	__u32 total_retrans;				 /* segments */
} CORE;

struct socket {
	struct sock *sk;
} CORE;

struct inode {
	unsigned short i_mode;
} CORE;

struct file {
	struct inode *f_inode;
	void *private_data;
} CORE;

struct task_struct {
	struct task_struct *group_leader;
	int tgid;
	char comm[16];
} CORE;

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
} CORE;

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	struct file *file;
} CORE;

#undef CORE

static __always_inline bool is_tcp(const struct sock *sk)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
	return (family == AF_INET || family == AF_INET6) && BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP;
}
