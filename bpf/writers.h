/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Who writes to the disks that etcd syncs to, and when: for each process how many bytes in each slice of the last four
 * seconds. User space looks when a sync was slow.
 *
 * A process that writes through the page cache is seen as it fills it: the kernel's own threads write that out later. One
 * that does not, or that syncs, is seen as it hands its writes to the disk. Of one process the larger of both counts.
 */
#pragma once

#include "files.h"

/* Most writes of a host are to other disks, and must not pay for this: one lookup. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 128);
	__type(key, __u32);   /* device of a file system that etcd syncs to, and the disk itself */
	__type(value, __u32); /* the disk */
} disks SEC(".maps");

struct writer_key {
	__u32 disk, tgid;
};

#define SLICES 64
#define SLICE_SHIFT 26 /* 2^26 ns: 67 ms */

struct slice {
	__u32 when; /* ktime >> SLICE_SHIFT */
	__u32 filled, handed; /* bytes: into the page cache, to the disk */
};

struct writer {
	__u8 name[16];
	struct slice slices[SLICES];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct writer_key);
	__type(value, struct writer);
} writers SEC(".maps");

static __always_inline void follow_disk(__u32 device, __u32 disk)
{
	if (!disk || bpf_map_lookup_elem(&disks, &device))
		return;
	bpf_map_update_elem(&disks, &device, &disk, BPF_ANY);
	bpf_map_update_elem(&disks, &disk, &disk, BPF_ANY);
}

static __noinline void new_writer(const struct writer_key *key)
{
	static const struct writer empty;
	bpf_map_update_elem(&writers, key, &empty, BPF_NOEXIST);
	struct writer *w = bpf_map_lookup_elem(&writers, key);
	struct task_struct *task = (void *)bpf_get_current_task();
	if (w)
		BPF_CORE_READ_STR_INTO(&w->name, task, group_leader, comm);
}

static __always_inline void count_writer(__u32 disk, __u32 filled, __u32 handed)
{
	struct writer_key key = {.disk = disk, .tgid = bpf_get_current_pid_tgid() >> 32};
	struct writer *w = bpf_map_lookup_elem(&writers, &key);
	if (!w) {
		new_writer(&key);
		w = bpf_map_lookup_elem(&writers, &key);
		if (!w)
			return;
	}
	__u32 now = bpf_ktime_get_ns() >> SLICE_SHIFT;
	struct slice *s = &w->slices[now % SLICES];
	if (s->when != now) {
		s->when = now;
		s->filled = s->handed = 0;
	}
	if (filled) /* constants: see distribute */
		__sync_fetch_and_add(&s->filled, filled);
	if (handed)
		__sync_fetch_and_add(&s->handed, handed);
}
