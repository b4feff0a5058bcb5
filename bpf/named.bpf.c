//go:build ignore

/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Programs on tracepoints for kernels without BTF. They are found by their names in tracefs. Nothing of the kernel's own is
 * read but what an event has, at the places that its format tells user space: these are other ones from kernel to kernel.
 */
#include "known_files.h"
#include "lifecycle.h"
#include "named_connections.h"

char license_text[] SEC("license") = "Dual MIT/GPL";

SEC("tracepoint/sched/sched_process_exec")
int executed(void *event)
{
	tell(event, RECORD_EXEC);
	return 0;
}

/* What counts is the end of the first thread, which in a Go program does not end before the others. */
SEC("tracepoint/sched/sched_process_exit")
int first_thread_ended(void *event)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tgid = id >> 32;
	if ((__u32)id == tgid && bpf_map_lookup_elem(&processes, &tgid))
		tell(event, RECORD_EXIT);
	return 0;
}

SEC("tracepoint/ext4/ext4_sync_file_enter")
int sync_entered(void *event)
{
	begin_sync(event);
	return 0;
}

SEC("tracepoint/ext4/ext4_sync_file_exit")
int sync_left(void *event)
{
	end_sync(event);
	return 0;
}

SEC("tracepoint/sock/inet_sock_set_state")
int state_changed(void *event)
{
	moved(event);
	return 0;
}

SEC("tracepoint/tcp/tcp_retransmit_skb")
int segment_sent_again(void *event)
{
	sent_again(event);
	return 0;
}

SEC("tracepoint/tcp/tcp_retransmit_synack")
int connection_answered_again(void *event)
{
	answered_again(event);
	return 0;
}

SEC("tracepoint/tcp/tcp_receive_reset")
int reset_received(void *event)
{
	was_reset(event);
	return 0;
}
