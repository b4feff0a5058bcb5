/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * How a Go program lies in registers and memory. Source: src/cmd/compile/abi-internal.md.
 */
#pragma once

#include "binary.h"
#include "reserve.h"

struct go_interface {
	__u64 tab; /* of an empty interface the type, else an itab, which has the type at 8 */
	__u64 data;
};

struct go_string { /* and the first two words of a slice */
	__u64 data;
	__s64 len;
};

/* What a stopped thread has in a register. Where ways of a program meet, clang would add to ctx first and read then, which the
 * verifier forbids. */
#define STOPPED(ctx, name)                                                                              \
	({                                                                                              \
		__u64 value;                                                                            \
		asm volatile("%0 = *(u64 *)(%1 + %2)"                                                   \
			     : "=r"(value)                                                              \
			     : "r"(ctx), "i"(__builtin_offsetof(struct pt_regs, name)));                \
		value;                                                                                  \
	})
#define GO_SP(ctx) STOPPED(ctx, sp)

#if defined(__TARGET_ARCH_x86)
#define GO_PC(ctx) STOPPED(ctx, ip) /* where the probe is: arch/x86/kernel/uprobes.c and kernel/events/uprobes.c set it back */
/* The integer registers of ABIInternal, in their order. */
#define GO_REG0(ctx) STOPPED(ctx, ax)
#define GO_REG1(ctx) STOPPED(ctx, bx)
#define GO_REG2(ctx) STOPPED(ctx, cx)
#define GO_REG3(ctx) STOPPED(ctx, di)
#define GO_REG4(ctx) STOPPED(ctx, si)
#define GO_REG5(ctx) STOPPED(ctx, r8)
#define GO_REG6(ctx) STOPPED(ctx, r9)
#define GO_REG7(ctx) STOPPED(ctx, r10)
#define GO_REG8(ctx) STOPPED(ctx, r11)
#define GO_G(ctx) STOPPED(ctx, r14)
/* At the JBE of the stack check: below or equal. The jump will be taken, and the function will run once more. */
#define STACK_WILL_GROW(ctx) (STOPPED(ctx, flags) & 0x41)
#else
#define GO_PC(ctx) STOPPED(ctx, pc)
#define GO_REG0(ctx) STOPPED(ctx, regs[0])
#define GO_REG1(ctx) STOPPED(ctx, regs[1])
#define GO_REG2(ctx) STOPPED(ctx, regs[2])
#define GO_REG3(ctx) STOPPED(ctx, regs[3])
#define GO_REG4(ctx) STOPPED(ctx, regs[4])
#define GO_REG5(ctx) STOPPED(ctx, regs[5])
#define GO_REG6(ctx) STOPPED(ctx, regs[6])
#define GO_REG7(ctx) STOPPED(ctx, regs[7])
#define GO_REG8(ctx) STOPPED(ctx, regs[8])
#define GO_REG9(ctx) STOPPED(ctx, regs[9])
#define GO_REG10(ctx) STOPPED(ctx, regs[10])
#define GO_REG11(ctx) STOPPED(ctx, regs[11])
#define GO_G(ctx) STOPPED(ctx, regs[28])
/* At its B.LS: carry clear or zero set. */
#define STACK_WILL_GROW(ctx) ((STOPPED(ctx, pstate) & (3 << 29)) != 1 << 29)
#endif

/* 1 of 0, 0 of all else, in a way that neither the compiler nor the verifier sees through. */
static __always_inline __u64 is_zero(__u64 n)
{
	__u64 set = n | -n;
	asm volatile("%0 >>= 63" : "+r"(set));
	return set ^ 1;
}

/* 0, which the verifier does not know to be 0, nor to be the same as another one: it would go through all that a record takes
 * once more for what has no response, or no request. */
static __always_inline __u64 nothing(struct pt_regs *ctx)
{
	return GO_SP(ctx) & -is_zero(GO_PC(ctx)); /* nothing runs at 0 */
}

/* Reads from etcd's memory. A page that is not resident is not fetched: what cannot be read is 0, and noted in missing. It is
 * noted without a branch, and looked at where the program or the record ends, because the kernel verifies each way through
 * a program, which is most of what it takes to load one. */
static __always_inline bool take(long *missing, void *to, __u32 size, __u64 from)
{
	long error = bpf_probe_read_user(to, size, (const void *)from);
	*missing |= error;
	return !error;
}

/* Counts that something was missing, once, and forgets it: before what is long, or it is verified with and without. */
static __always_inline void count_missing(long *missing)
{
	if (*missing)
		count(COUNT_UNREADABLE);
	*missing = 0;
}

static __always_inline __u64 take_word(long *missing, __u64 from)
{
	__u64 word;
	take(missing, &word, sizeof word, from);
	return word;
}

/* The n-th word of the arguments at a stack check: from 0, and known when this is compiled. */
static __always_inline __u64 argument(long *missing, struct pt_regs *ctx, const struct binary *b, int n)
{
	if (b->layout == LAYOUT_STACK)
		return take_word(missing, GO_SP(ctx) + 8 + 8 * n);
	switch (n) {
	case 0:
		return GO_REG0(ctx);
	case 1:
		return GO_REG1(ctx);
	case 2:
		return GO_REG2(ctx);
	default:
		return GO_REG3(ctx);
	}
}

/* What a struct operation calls number, count or answer: of 8, 4 or 1 bytes. */
static __always_inline __s64 take_number(long *missing, __u64 base, __u16 offset, __u8 size)
{
	__s64 number[2] = {};
	if (offset == NONE || !base || !take(missing, number, size & 15, base + offset))
		return UNKNOWN;
	return number[0];
}

/* Copies up to max bytes of a string or slice to a place that has max bytes; gives how many. */
static __always_inline __u32 take_text(long *missing, void *to, const struct go_string *s, __u32 max)
{
	__u64 n = s->len;
	if (n > max)
		n = max;
	long error = bpf_probe_read_user(to, n, (const void *)s->data);
	*missing |= error;
	return n & ~(error >> 63); /* 0 if it could not be read */
}
