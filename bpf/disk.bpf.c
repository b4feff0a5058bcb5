//go:build ignore

/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The programs that are attached to the kernel's tracepoints of files and disks, with BTF (tp_btf): no tracefs is needed,
 * and system calls that are not followed pay nothing. Each is left out where the kernel lacks its tracepoint.
 *
 * They need no guard: a tracepoint's programs run with preemption or at least migration off, and the kernel enters none
 * twice on a CPU, so nothing overwrites their stack.
 */
#include "synced.h"

char license_text[] SEC("license") = "Dual MIT/GPL";

const struct sync *tell_sync __attribute__((unused));
const enum file_kind *tell_file_kind __attribute__((unused));

/* (file, datasync), (inode, result) */
TRACEPOINT(ext4_sync_file_enter, begin_sync((void *)ctx[0]))
TRACEPOINT(ext4_sync_file_exit, end_sync(ctx))

/* (inode, position, length, copied): a write has filled a part of the page cache; with delayed allocation and without */
static __always_inline void filled(struct inode *inode, __u32 bytes)
{
	__u32 device = inode->i_sb->s_dev, *disk = bpf_map_lookup_elem(&disks, &device);
	if (!disk)
		return;
	count_written(inode->i_ino, device, bytes);
	count_writer(*disk, bytes, 0);
}
TRACEPOINT(ext4_da_write_end, filled(FOLLOWED(struct inode, ctx[0]), ctx[3]))
TRACEPOINT(ext4_write_end, filled(FOLLOWED(struct inode, ctx[0]), ctx[3]))

/* A write for which somebody waits is handed to the disk by whoever waits. From a worker of the kernel it comes when the
 * I/O controller has held it back: nobody can tell then whose it is, but it is not the worker's. */
#define PF_WQ_WORKER 0x20 /* include/linux/sched.h */
static __always_inline bool held_back(struct bio *bio)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 sync = 1U << bpf_core_enum_value(enum req_flag_bits, __REQ_SYNC);
	return bio->bi_opf & sync && BPF_CORE_READ(task, flags) & PF_WQ_WORKER;
}

/* (bio), in the context of who asks for it; block_rq_issue may come from a thread of the kernel. */
#define OPERATION 0xff
#define WRITE 1
static __always_inline bool is_write(struct bio *bio)
{
	return (bio->bi_opf & OPERATION) == WRITE && !held_back(bio);
}

static __always_inline void handed(struct bio *bio, struct gendisk *to)
{
	__u32 device = DEVICE(to->major, to->first_minor), *disk = bpf_map_lookup_elem(&disks, &device);
	if (disk)
		count_writer(*disk, 0, bio->bi_iter.bi_size);
}

static __always_inline void queued(struct bio *bio)
{
	if (is_write(bio))
		handed(bio, bio->bi_bdev->bd_disk);
}
TRACEPOINT(block_bio_queue, queued(FOLLOWED(struct bio, ctx[0])))

/* (queue, bio), before 5.11 */
SEC("tp_btf/block_bio_queue")
int block_bio_queue_of_queue(__u64 *ctx)
{
	struct bio *bio = (void *)ctx[1];
	if (is_write(bio))
		handed(bio, ((struct bio___with_disk *)bio)->bi_disk);
	return 0;
}

/* All system calls of the host, (registers, number) and (registers, result): for file systems without tracepoints of their
 * own. Where there are some too, these are inside, and end what began there. */
#if defined(__TARGET_ARCH_x86)
#define FSYNC 74
#define FDATASYNC 75
#define SYSCALL_ARG0(regs) ((regs)->di)
#define SYSCALL_NUMBER(regs) ((regs)->orig_ax)
#else
#define FSYNC 82
#define FDATASYNC 83
#define SYSCALL_ARG0(regs) ((regs)->regs[0])
/* Behind what user space sees of the registers. */
struct pt_regs___arm64 {
	int syscallno;
} __attribute__((preserve_access_index));
#define SYSCALL_NUMBER(regs) BPF_CORE_READ((struct pt_regs___arm64 *)(regs), syscallno)
#endif

static __always_inline void call(struct pt_regs *regs)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct file **all = BPF_CORE_READ(task, files, fdt, fd), *file = 0;
	__u32 fd = SYSCALL_ARG0(regs);
	if (fd < BPF_CORE_READ(task, files, fdt, max_fds))
		bpf_probe_read_kernel(&file, sizeof file, all + fd);
	if (file)
		begin_sync(file);
}
TRACEPOINT(sys_enter, if (ctx[1] == FSYNC || ctx[1] == FDATASYNC) call((void *)ctx[0]))

static __always_inline void called(void *ctx, struct pt_regs *regs)
{
	int number = SYSCALL_NUMBER(regs);
	if (number == FSYNC || number == FDATASYNC)
		end_sync(ctx);
}
TRACEPOINT(sys_exit, called(ctx, (void *)ctx[0]))
