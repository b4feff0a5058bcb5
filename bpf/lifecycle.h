/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * How the begin and the end of a process is told.
 */
#pragma once

#include "process.h"
#include "ring.h"

/* What has no room is not counted: no request is lost, and the next rescan sees it. */
static __always_inline void tell(void *ctx, enum record_kind kind)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct header h = {.kind = kind, .tgid = id >> 32, .tid = (__u32)id, .ktime = bpf_ktime_get_ns()};
	put(ctx, &h, sizeof h);
}
