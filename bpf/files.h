/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What of the kernel's files, file systems and disks the programs use. Found by name in the running kernel's BTF.
 */
#pragma once

#include "kernel.h"

#include <bpf/bpf_core_read.h>

#define CORE __attribute__((preserve_access_index))

struct gendisk {
	int major, first_minor;
} CORE;

struct block_device {
	struct gendisk *bd_disk;
} CORE;

struct super_block {
	__u32 s_dev;
	struct block_device *s_bdev; /* NULL: in memory, or many, as in btrfs */
} CORE;

struct inode {
	unsigned long i_ino;
	struct super_block *i_sb;
} CORE;

struct qstr {
	const unsigned char *name;
} CORE;

struct dentry {
	struct qstr d_name;
} CORE;

struct path {
	struct dentry *dentry;
} CORE;

struct file {
	struct path f_path;
	struct inode *f_inode;
	long long f_pos;
} CORE;

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
} CORE;

struct files_struct {
	struct fdtable *fdt;
} CORE;

struct task_struct {
	struct task_struct *group_leader;
	struct files_struct *files;
	unsigned int flags;
	char comm[16];
} CORE;

struct bvec_iter {
	unsigned int bi_size;
} CORE;

struct bio {
	struct block_device *bi_bdev;
	unsigned int bi_opf;
	struct bvec_iter bi_iter;
} CORE;

/* Before 5.11. */
struct bio___with_disk {
	struct gendisk *bi_disk;
} CORE;

/* Which bit of bi_opf is which: they move between kernels. */
enum req_flag_bits { __REQ_SYNC };

#undef CORE

/* The argument of a tracepoint whose pointers the program follows. For the first pointer of one that the verifier trusts, it
 * looks four times through all types of the kernel by name: 2 ms for each program (measured on 6.18). A cast, which is no
 * instruction, takes the trust away; since 6.2. */
extern void *bpf_rdonly_cast(const void *obj, __u32 type) __ksym __weak;
#define FOLLOWED(type, argument) \
	((type *)(bpf_rdonly_cast ? bpf_rdonly_cast((void *)(argument), bpf_core_type_id_kernel(type)) : (void *)(argument)))

/* The kernel's own numbering of devices. */
#define DEVICE(major, minor) ((__u32)(major) << 20 | (__u32)(minor))
