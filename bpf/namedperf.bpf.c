//go:build ignore

/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The same for kernels without BPF's ring buffer.
 */
#define PERF_BUFFER
#include "named.bpf.c"
