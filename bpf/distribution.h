/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * How long requests and syncs took, counted in the kernel: all of them, whether they leave as records or not.
 */
#pragma once

#include "process.h"

/* Buckets of the durations of requests and syncs, ns: those of the histograms that leave. */
#define BUCKETS 16
const volatile __u64 bounds[BUCKETS] = {
	100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000, 25000000,
	50000000, 100000000, 250000000, 500000000, 1000000000, 2500000000, 5000000000, 10000000000,
};

struct distribution_key {
	__u32 tgid;
	__u8 kind; /* enum record_kind */
	__u8 operation;
	__u16 reserved;
};

struct distribution {
	__u64 sum; /* ns */
	__u64 count[BUCKETS + 1];
};

/* All that succeeds is counted here, whether it leaves as a record or not. What fails leaves always. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, PROCESSES_MAX * 8); /* an etcd has about 15; 300 kB for each CPU */
	__type(key, struct distribution_key);
	__type(value, struct distribution);
} distributions SEC(".maps");

/* 1 if a duration is above bound i: the difference is negative. A comparison would be a branch, and each way through a
 * program is verified. The verifier of 5.10 does not follow how small i is, so it is shown. */
static __always_inline __u64 above(__u64 duration, __u64 i)
{
	asm volatile("%0 &= %1" : "+r"(i) : "i"(BUCKETS - 1));
	return (bounds[i] - duration) >> 63;
}

/* How many bounds a duration is above, 0 to BUCKETS. */
static __always_inline __u64 bucket(__u64 duration)
{
	__u64 i = above(duration, 7) << 3;
	i += above(duration, i + 3) << 2;
	i += above(duration, i + 1) << 1;
	i += above(duration, i);
	asm volatile("%0 &= %1" : "+r"(i) : "i"(BUCKETS - 1));
	return i + above(duration, i);
}

static __always_inline void distribute(__u32 tgid, __u8 kind, __u8 operation, __u64 duration)
{
	static const struct distribution empty;
	struct distribution_key key = {.tgid = tgid, .kind = kind, .operation = operation};
	struct distribution *d = bpf_map_lookup_elem(&distributions, &key);
	if (!d) {
		bpf_map_update_elem(&distributions, &key, &empty, BPF_NOEXIST);
		d = bpf_map_lookup_elem(&distributions, &key);
		if (!d)
			return;
	}
	if (duration) /* of a constant 0 the compiler makes an atomic "or", which is new in 5.12 */
		__sync_fetch_and_add(&d->sum, duration);
	__sync_fetch_and_add(&d->count[bucket(duration)], 1);
}
