/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Which file a sync is of, where it is told by an event, which has the file's number and not its name: user space has looked
 * at etcd's files.
 */
#pragma once

#include "syncs.h"

/* Where the event has it: other places since Linux 7. */
const volatile __u32 sync_device_at = 8, sync_inode_at = 16;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct file_key);
	__type(value, __u32); /* enum file_kind */
} known_files SEC(".maps");

static __always_inline void begin_sync(void *event)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tid = (__u32)id;
	if (!traced(id >> 32))
		return;
	struct syncing s = {};
	bpf_probe_read_kernel(&s.file.device, sizeof s.file.device, event + sync_device_at);
	bpf_probe_read_kernel(&s.file.inode, sizeof s.file.inode, event + sync_inode_at);
	__u32 *kind = bpf_map_lookup_elem(&known_files, &s.file);
	s.kind = kind ? *kind : FILE_OTHER;
	s.began = bpf_ktime_get_ns();
	bpf_map_update_elem(&syncing, &tid, &s, BPF_ANY);
}
