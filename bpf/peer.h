/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Who asks: the walk from a request's context to the peer that gRPC keeps in it. It needs no field of gRPC's transports,
 * which change, and of which TLS uses another one.
 */
#pragma once

#include "go.h"

/* context.valueCtx. The other kinds of contexts, and gRPC's streams, keep their parent at 0 too. */
struct context {
	struct go_interface parent, key, value;
};

/* Measured: 1 to 9 levels lie above the peer. */
#define CONTEXT_DEPTH 12

/* Gives 0 if there is none: one that the verifier does not know, as nothing is. */
static __always_inline __u64 find_peer(__u64 at, __u64 peer_key)
{
	struct context c;
	__u64 peer = at & -is_zero(peer_key);
	for (int i = 0; i < CONTEXT_DEPTH && at; i++) {
		if (bpf_probe_read_user(&c, sizeof c, (const void *)at))
			break;
		if (c.key.tab == peer_key) {
			peer = c.value.data;
			break;
		}
		at = c.parent.data;
	}
	return peer;
}

/* *net.TCPAddr: copies its IP, gives how many bytes that has. */
static __always_inline __u32 take_ip(long *missing, void *to, __u16 *port, __u64 addr, const struct binary *b)
{
	struct go_string ip;
	if (!take(missing, &ip, sizeof ip, addr)) /* net.TCPAddr begins with its IP */
		return 0;
	__s64 number = take_number(missing, addr, b->tcp_port, 8);
	*port = number > 0 ? number : 0;
	return take_text(missing, to, &ip, 16);
}

static __always_inline void take_address(long *missing, struct request *r, __u64 peer, const struct binary *b, __u64 bias)
{
	struct go_interface addr;
	struct go_string s;
	if (!take(missing, &addr, sizeof addr, peer) || !addr.data)
		return;
	__u64 type = take_word(missing, addr.tab + 8);
	if (!type)
		return;
	if (type == b->tcp_addr + bias) {
		r->client_len = take_ip(missing, r->client, &r->client_port, addr.data, b);
	} else if (type == b->text_addr + bias && take(missing, &s, sizeof s, addr.data)) {
		r->h.flags |= REQUEST_TEXT_ADDR;
		r->client_len = take_text(missing, r->client, &s, CLIENT_MAX); /* [ip]:port has up to 47, and a zone */
	}
}

static __always_inline void take_subject(long *missing, struct request *r, __u64 peer, const struct binary *b, __u64 bias)
{
	struct go_interface info;
	struct go_string s;
	if (b->peer_auth == NONE || !take(missing, &info, sizeof info, peer + b->peer_auth) || !info.tab || !info.data)
		return;
	if (take_word(missing, info.tab + 8) != b->tls_info + bias || !take(missing, &s, sizeof s, info.data + b->tls_peers) || s.len <= 0)
		return;
	__u64 certificate = take_word(missing, s.data); /* the client's own is the first */
	if (certificate && take(missing, &s, sizeof s, certificate + b->subject))
		r->subject_len = take_text(missing, r->subject, &s, NAME_MAX);
}

static __always_inline void take_peer(long *missing, struct request *r, __u64 peer, const struct binary *b, __u64 bias)
{
	if (!peer) {
		if (b->peer_key)
			count(COUNT_NO_PEER);
		return;
	}
	take_address(missing, r, peer, b, bias);
	take_subject(missing, r, peer, b, bias);
}
