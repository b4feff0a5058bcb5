/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Which file a sync is of, and how much was written to it since its last one, as the kernel's own data says.
 *
 * The name is that of the file as the sync begins, from the kernel's own books: a segment of the WAL is synced as 0.tmp
 * first and renamed then, so a name that is kept by file descriptor would stay wrong.
 */
#pragma once

#include "syncs.h"
#include "writers.h"

/* Of a file at its last sync. */
struct file_state {
	__u64 written;	/* since then, as the file system told */
	__s64 position; /* of the descriptor that was synced: the WAL is appended with write */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct file_key);
	__type(value, struct file_state);
} files SEC(".maps");

static __always_inline __u64 written_since(const struct file_key *key, __s64 position)
{
	struct file_state *f = bpf_map_lookup_elem(&files, key);
	if (!f) {
		struct file_state first = {.position = position};
		bpf_map_update_elem(&files, key, &first, BPF_ANY);
		return 0;
	}
	__u64 written = f->written;
	__sync_fetch_and_add(&f->written, -written); /* an exchange is new in 5.12 */
	if (!written && position > f->position)
		written = position - f->position;
	f->position = position;
	return written;
}

static __always_inline bool ends(const struct syncing *s, const char *with) /* four characters */
{
	__u32 n = s->name_len;
	if (n < 4 || n >= FILE_MAX)
		return false;
	const __u8 *end = s->name + n - 4;
	return end[0] == with[0] && end[1] == with[1] && end[2] == with[2] && end[3] == with[3];
}

static __always_inline enum file_kind kind_of(const struct syncing *s)
{
	if (s->name_len == 2 && s->name[0] == 'd' && s->name[1] == 'b')
		return FILE_BACKEND;
	if (ends(s, ".wal"))
		return FILE_WAL;
	/* The next segment, before it is renamed: server/storage/wal/file_pipeline.go. */
	if (s->name_len == 5 && (s->name[0] == '0' || s->name[0] == '1') && ends(s, ".tmp"))
		return FILE_WAL;
	return FILE_OTHER;
}

static __always_inline void begin_sync(struct file *file)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tid = (__u32)id;
	if (!traced(id >> 32))
		return;
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct super_block *sb = BPF_CORE_READ(inode, i_sb);
	struct syncing s = {
		.file = {.inode = BPF_CORE_READ(inode, i_ino), .device = BPF_CORE_READ(sb, s_dev)},
	};
	struct gendisk *disk = BPF_CORE_READ(sb, s_bdev, bd_disk);
	if (disk)
		s.disk = DEVICE(BPF_CORE_READ(disk, major), BPF_CORE_READ(disk, first_minor));
	long n = bpf_probe_read_kernel_str(s.name, sizeof s.name, BPF_CORE_READ(file, f_path.dentry, d_name.name));
	s.name_len = n > 0 ? n - 1 : 0;
	s.kind = kind_of(&s);
	s.written = written_since(&s.file, BPF_CORE_READ(file, f_pos));
	struct syncing *outer = bpf_map_lookup_elem(&syncing, &tid); /* of the system call, if that is followed too */
	if (outer && outer->file.inode == s.file.inode && outer->file.device == s.file.device)
		s.written += outer->written;
	follow_disk(s.file.device, s.disk);
	s.began = bpf_ktime_get_ns();
	bpf_map_update_elem(&syncing, &tid, &s, BPF_ANY);
}

/* What etcd writes into a file of its own. */
static __always_inline void count_written(__u64 inode, __u32 device, __u32 bytes)
{
	if (!traced(bpf_get_current_pid_tgid() >> 32))
		return;
	struct file_key key = {.inode = inode, .device = device};
	struct file_state *f = bpf_map_lookup_elem(&files, &key);
	if (f)
		__sync_fetch_and_add(&f->written, bytes);
}
