/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Syncs of etcd's files: how long each takes, from its begin to its end on one thread.
 */
#pragma once

#include "distribution.h"
#include "ring.h"

const volatile __u64 slow_sync = 100000000; /* ns */

struct file_key {
	__u64 inode;
	__u32 device, reserved;
};

struct syncing {
	__u64 began;
	struct file_key file;
	__u64 written;
	__u32 disk, name_len;
	__u32 kind; /* enum file_kind */
	__u32 reserved;
	__u8 name[FILE_MAX];
};

/* By thread. LRU: a thread may be killed in a sync. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct syncing);
} syncing SEC(".maps");

static __always_inline void end_sync(void *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tgid = id >> 32, tid = (__u32)id;
	struct syncing *found = bpf_map_lookup_elem(&syncing, &tid);
	if (!found)
		return;
	struct syncing s = *found;
	bpf_map_delete_elem(&syncing, &tid);
	__u64 now = bpf_ktime_get_ns(), duration = now - s.began;
	distribute(tgid, RECORD_SYNC, s.kind, duration);
	if (duration < slow_sync)
		return;
	struct sync r = {
		.h = {.kind = RECORD_SYNC, .operation = s.kind, .tgid = tgid, .tid = tid, .ktime = now},
		.duration = duration, .inode = s.file.inode, .written = s.written, .device = s.file.device, .disk = s.disk, .name_len = s.name_len,
	};
	__builtin_memcpy(r.name, s.name, FILE_MAX);
	output(ctx, &r, sizeof r);
}
