//go:build ignore

/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Which processes begin and end, and which ids they have. They hang on the kernel's tracepoints, with BTF.
 */
#include "lifecycle.h"

#include <bpf/bpf_core_read.h>

char license_text[] SEC("license") = "Dual MIT/GPL";

#define CORE __attribute__((preserve_access_index))

typedef struct {
	int counter;
} CORE atomic_t;

struct signal_struct {
	atomic_t live; /* threads that have not ended */
} CORE;

struct upid {
	int nr;
} CORE;

struct pid {
	unsigned int level; /* of the innermost name space that it is in; 0 is the host's */
	struct upid numbers[1]; /* one for each */
} CORE;

struct task_struct {
	struct signal_struct *signal;
	struct pid *thread_pid;
	int pid, tgid;
} CORE;

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
} CORE;

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} CORE;

/* (task, old pid, what it was asked to run): any process of the host; whose executable is etcd, user space can tell. */
TRACEPOINT(sched_process_exec, tell(ctx, RECORD_EXEC))

/* (task): each thread; by the last one the process has ended. */
static __always_inline void ended(void *ctx, struct task_struct *task)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	if (bpf_map_lookup_elem(&processes, &tgid) && !BPF_CORE_READ(task, signal, live.counter))
		tell(ctx, RECORD_EXIT);
}
TRACEPOINT(sched_process_exit, ended(ctx, (void *)ctx[0]))

struct pid_here {
	__u32 tgid; /* as the programs see it: of the host */
	__u32 pid;  /* as the reader does, whose processes may have a name space of their own */
};
const struct pid_here *tell_pid_here __attribute__((unused));

SEC("iter/task")
int pids_here(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	if (!task || BPF_CORE_READ(task, pid) != BPF_CORE_READ(task, tgid))
		return 0;
	struct task_struct *reader = (void *)bpf_get_current_task();
	struct pid *numbers = BPF_CORE_READ(task, thread_pid);
	struct upid *number = (void *)numbers + bpf_core_field_offset(struct pid, numbers) +
			      BPF_CORE_READ(reader, thread_pid, level) * bpf_core_type_size(struct upid);
	struct pid_here is = {.tgid = BPF_CORE_READ(task, tgid), .pid = BPF_CORE_READ(number, nr)};
	bpf_seq_write(ctx->meta->seq, &is, sizeof is);
	return 0;
}
