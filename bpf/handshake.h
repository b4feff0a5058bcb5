/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * TLS handshakes that fail on connections that etcd has accepted: without a certificate, with a wrong one, plain text. etcd
 * calls a function to log each of them, and for no other: one that succeeds costs nothing.
 */
#pragma once

#include "requests.h"

/* In etcd's own servers 2 or 3 connections lie within each other. */
#define WRAPPED_MAX 6

/* The *net.netFD below a *tls.Conn. What is around a *net.TCPConn begins with the connection that it wraps: for timeouts,
 * for limits, for cmux. */
static __always_inline __u64 find_fd(long *missing, __u64 conn, const struct binary *b, __u64 bias)
{
	struct go_interface c;
	__u64 at = conn + b->tls_conn;
	for (int i = 0; i < WRAPPED_MAX && take(missing, &c, sizeof c, at); i++) {
		__u64 type = take_word(missing, c.tab + 8);
		if (!type)
			break;
		if (type == b->tcp_conn + bias)
			return take_word(missing, c.data);
		if (type == b->tcp_kept + bias)
			return take_word(missing, take_word(missing, c.data));
		at = c.data;
	}
	return 0;
}

static __always_inline __u32 take_end(long *missing, void *to, __u16 *port, __u64 at, const struct binary *b, __u64 bias)
{
	struct go_interface addr;
	if (!take(missing, &addr, sizeof addr, at) || take_word(missing, addr.tab + 8) != b->tcp_addr + bias)
		return 0; /* a Unix socket */
	return take_ip(missing, to, port, addr.data, b);
}

static __always_inline void take_reason(long *missing, struct handshake *s, struct go_interface err, const struct binary *b, __u64 bias)
{
	struct go_string text;
	__u64 type = take_word(missing, err.tab + 8);
	if (type == b->permanent_error + bias && take(missing, &err, sizeof err, err.data))
		type = take_word(missing, err.tab + 8);
	s->h.operation = HANDSHAKE_OTHER;
	if (!type)
		return;
	type -= bias;
	if (type == b->record_error)
		s->h.operation = HANDSHAKE_RECORD;
	else if (type == b->certificate_error || type == b->hostname_error)
		s->h.operation = HANDSHAKE_CERTIFICATE;
	else if (type == b->plain_error)
		s->h.operation = HANDSHAKE_TEXT;
	else if (type == b->op_error)
		s->h.operation = HANDSHAKE_NETWORK;
	if ((type == b->plain_error || type == b->op_error) && take(missing, &text, sizeof text, err.data))
		s->text_len = take_text(missing, s->text, &text, NAME_MAX);
}

/* embed's closure for TLSInfo.HandshakeFailure (conn *tls.Conn, err error) */
static __always_inline void on_handshake_failed(long *missing, struct pt_regs *ctx)
{
	struct process *p;
	struct binary *b;
	struct header h;
	if (STACK_WILL_GROW(ctx) || !find(ctx, RECORD_HANDSHAKE, &h, &p, &b) || !p->checked)
		return;
	struct go_interface err = {.tab = GO_REG1(ctx), .data = GO_REG2(ctx)};
	__u64 conn = GO_REG0(ctx);
	if (b->layout == LAYOUT_STACK) {
		conn = take_word(missing, GO_SP(ctx) + 8);
		if (!take(missing, &err, sizeof err, GO_SP(ctx) + 16))
			return;
	}
	struct handshake *s = reserve(sizeof *s);
	if (!s)
		return;
	__builtin_memset(s, 0, sizeof *s);
	s->h = h;
	__u64 fd = find_fd(missing, conn, b, p->bias);
	if (fd) {
		take_end(missing, s->remote, &s->local_port, fd + b->fd_local, b, p->bias);
		s->remote_len = take_end(missing, s->remote, &s->remote_port, fd + b->fd_remote, b, p->bias);
	}
	take_reason(missing, s, err, b, p->bias);
	submit(s);
}
