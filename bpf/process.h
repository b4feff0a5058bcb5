/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What the programs are told of processes: which are etcd.
 */
#pragma once

#include "record.h"

struct process {
	__u64 bias;	  /* of its addresses: 0 unless it is position independent */
	__s64 start_nano; /* Go's monotonic clock begins here, in ns of CLOCK_MONOTONIC; 0: not known yet */
	__u32 binary;
	__u16 users;	  /* 1: the user of a request is noted before it is served */
	__u16 checked;	  /* 1: it has passed the self-check; before, every request leaves and none is counted */
};

#define PROCESSES_MAX 256

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PROCESSES_MAX);
	__type(key, __u32); /* tgid */
	__type(value, struct process);
} processes SEC(".maps");

static __always_inline bool traced(__u32 tgid)
{
	struct process *p = bpf_map_lookup_elem(&processes, &tgid);
	return p && p->checked;
}
