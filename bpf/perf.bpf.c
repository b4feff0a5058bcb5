//go:build ignore

/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The programs on functions of etcd for kernels without BPF's ring buffer. Compiled apart and not switched at run time:
 * before 5.5 the verifier does not know the value of a constant, and refuses what the kernel does not have even where it is
 * never called.
 */
#define PERF_BUFFER
#include "etcd.bpf.c"
