//go:build ignore

/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Which processes begin and end. They hang on the kernel's tracepoints with BTF, in an object of their own: where there is
 * none, processes are looked for from time to time.
 */
#include "process.h"
#include "ring.h"

#include <bpf/bpf_core_read.h>

char license_text[] SEC("license") = "Dual MIT/GPL";

#define CORE __attribute__((preserve_access_index))

typedef struct {
	int counter;
} CORE atomic_t;

struct signal_struct {
	atomic_t live; /* threads that have not ended */
} CORE;

struct task_struct {
	struct signal_struct *signal;
} CORE;

static __always_inline void tell(enum record_kind kind)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct header *h = bpf_ringbuf_reserve(&records, sizeof *h, 0);
	if (!h)
		return; /* no request is lost: the next rescan sees it */
	*h = (struct header){.kind = kind, .tgid = id >> 32, .tid = (__u32)id, .ktime = bpf_ktime_get_ns()};
	submit(h);
}

/* (task, old pid, what it was asked to run): any process of the host; whose executable is etcd, user space can tell. */
TRACEPOINT(sched_process_exec, tell(RECORD_EXEC))

/* (task): each thread; by the last one the process has ended. */
static __always_inline void ended(struct task_struct *task)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	if (bpf_map_lookup_elem(&processes, &tgid) && !BPF_CORE_READ(task, signal, live.counter))
		tell(RECORD_EXIT);
}
TRACEPOINT(sched_process_exit, ended((void *)ctx[0]))
