/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The few kernel types that the programs use, written down by hand: a generated vmlinux.h has 3 MB. What has
 * preserve_access_index is found in the running kernel's BTF by name (CO-RE), so only the names must be right.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

/* What a uprobe sees of the stopped thread: arch/x86/include/asm/ptrace.h, arch/arm64/include/asm/ptrace.h. */
#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs {
	unsigned long regs[31], sp, pc, pstate;
};
#else
#error "the programs know amd64 and arm64"
#endif

/* A program on a tracepoint of the kernel, with BTF: ctx has the tracepoint's arguments. */
#define TRACEPOINT(name, call)  \
	SEC("tp_btf/" #name)    \
	int name(__u64 *ctx)    \
	{                       \
		call;           \
		return 0;       \
	}

/* Since 6.13 a program with 64 bytes of stack or more has a stack for each CPU, and a uprobe program can be preempted:
 * another one then overwrites it. Weak: kernels before 6.10 do not have them, and do not need them. */
extern void bpf_preempt_disable(void) __ksym __weak;
extern void bpf_preempt_enable(void) __ksym __weak;

/* A loop that is verified once and not as often as it may run: since 6.4. */
struct bpf_iter_num {
	__u64 state;
} __attribute__((aligned(8)));
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym __weak;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym __weak;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym __weak;

static __always_inline void guard(void)
{
	if (bpf_preempt_disable)
		bpf_preempt_disable();
}

static __always_inline void unguard(void)
{
	if (bpf_preempt_enable)
		bpf_preempt_enable();
}
