/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Writes as a member takes them from its raft log. Every member applies every write, whoever has served it, one after
 * the other. The entry names the user, and the member that proposed it in the first two bytes of its id
 * (pkg/idutil/id.go); which revision it makes is known when etcd tells its watchers, which it does for what has
 * changed something only.
 */
#pragma once

#include "requests.h"

/* The entry that a process is at. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PROCESSES_MAX);
	__type(key, __u32); /* tgid */
	__type(value, __u64); /* address of its etcdserverpb.InternalRaftRequest */
} applying SEC(".maps");

static __always_inline void tell_applied_write(long *missing, const struct header *h, const struct binary *b, __u64 entry, __u8 operation, __u64 revision, __s64 lease)
{
	struct go_string user = {};
	__u64 head = take_word(missing, entry + b->entry_header);
	if (!head)
		return;
	struct applied *a = reserve(sizeof *a);
	if (!a)
		return;
	a->h = *h;
	a->h.operation = operation;
	a->revision = revision;
	a->lease = lease;
	a->id = take_word(missing, head + b->header_id);
	take(missing, &user, sizeof user, head + b->header_user);
	a->user_len = take_text(missing, a->user, &user, NAME_MAX);
	submit(a);
}

/* (*uberApplier).dispatch(r), and (*applierV3backend).Apply(r) before 3.6. A lease that is granted makes no revision. */
static __always_inline void entry_applied(long *missing, struct pt_regs *ctx, const struct header *h, const struct binary *b)
{
	__u64 entry = argument(missing, ctx, b, 1);
	if (b->entry_wrapped)
		entry = take_word(missing, entry);
	if (!entry)
		return;
	bpf_map_update_elem(&applying, &h->tgid, &entry, BPF_ANY);
	__u64 grant = take_word(missing, entry + b->entry_grant);
	if (grant)
		tell_applied_write(missing, h, b, entry, APPLIED_GRANT, 0, take_word(missing, grant + b->grant_id));
}

/* mvcc.(*watchableStore).notify(rev, evs) */
static __always_inline void watchers_told(long *missing, struct pt_regs *ctx, const struct header *h, const struct binary *b)
{
	__u64 *at = bpf_map_lookup_elem(&applying, &h->tgid);
	if (!at)
		return;
	__u64 entry = *at, revoke, revision = argument(missing, ctx, b, 1);
	__u8 operation = APPLIED_OTHER;
	__s64 lease = 0;
	if (take_word(missing, entry + b->entry_put))
		operation = APPLIED_PUT;
	else if (take_word(missing, entry + b->entry_txn))
		operation = APPLIED_TXN;
	else if (take_word(missing, entry + b->entry_delete))
		operation = APPLIED_DELETE;
	else if ((revoke = take_word(missing, entry + b->entry_revoke))) {
		operation = APPLIED_REVOKE;
		lease = take_word(missing, revoke + b->revoke_id);
	}
	tell_applied_write(missing, h, b, entry, operation, revision, lease);
}

/* v3rpc.(*LeaseServer).LeaseRevoke(ctx, rr): a lease that ends by itself is revoked without it. */
static __always_inline void lease_revoking(long *missing, struct pt_regs *ctx, const struct header *h, const struct binary *b)
{
	struct applied *a = reserve(sizeof *a);
	if (!a)
		return;
	a->h = *h;
	a->h.operation = APPLIED_REVOKING;
	a->revision = a->id = a->user_len = 0;
	a->lease = take_word(missing, argument(missing, ctx, b, 3) + b->revoke_id);
	submit(a);
}

/* One program for all three, which takes less to load. */
static __always_inline void on_write(long *missing, struct pt_regs *ctx)
{
	struct process *p;
	struct binary *b;
	struct header h;
	if (STACK_WILL_GROW(ctx) || !find(ctx, RECORD_APPLIED, &h, &p, &b) || !p->checked)
		return;
	__u64 at = place(ctx, p);
	if (at == b->entry_applied)
		entry_applied(missing, ctx, &h, b);
	else if (at == b->watchers_told)
		watchers_told(missing, ctx, &h, b);
	else if (at == b->lease_revoking)
		lease_revoking(missing, ctx, &h, b);
}
