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

#if defined(__TARGET_ARCH_x86)
/* The integer registers of ABIInternal, in their order. */
#define GO_REG0(ctx) ((ctx)->ax)
#define GO_REG1(ctx) ((ctx)->bx)
#define GO_REG2(ctx) ((ctx)->cx)
#define GO_REG3(ctx) ((ctx)->di)
#define GO_REG4(ctx) ((ctx)->si)
#define GO_REG5(ctx) ((ctx)->r8)
#define GO_REG6(ctx) ((ctx)->r9)
#define GO_REG7(ctx) ((ctx)->r10)
#define GO_REG8(ctx) ((ctx)->r11)
#define GO_G(ctx) ((ctx)->r14)
#define GO_SP(ctx) ((ctx)->sp)
/* At the JBE of the stack check: below or equal. The jump will be taken, and the function will run once more. */
#define STACK_WILL_GROW(ctx) ((ctx)->flags & 0x41)
#else
/* Volatile: where ways of a program meet, clang would add to ctx first and read then, which the verifier forbids. */
#define ARM64_REG(ctx, n) (*(volatile unsigned long *)&(ctx)->regs[n])
#define GO_REG0(ctx) ARM64_REG(ctx, 0)
#define GO_REG1(ctx) ARM64_REG(ctx, 1)
#define GO_REG2(ctx) ARM64_REG(ctx, 2)
#define GO_REG3(ctx) ARM64_REG(ctx, 3)
#define GO_REG4(ctx) ARM64_REG(ctx, 4)
#define GO_REG5(ctx) ARM64_REG(ctx, 5)
#define GO_REG6(ctx) ARM64_REG(ctx, 6)
#define GO_REG7(ctx) ARM64_REG(ctx, 7)
#define GO_REG8(ctx) ARM64_REG(ctx, 8)
#define GO_REG9(ctx) ARM64_REG(ctx, 9)
#define GO_REG10(ctx) ARM64_REG(ctx, 10)
#define GO_REG11(ctx) ARM64_REG(ctx, 11)
#define GO_G(ctx) ARM64_REG(ctx, 28)
#define GO_SP(ctx) ((ctx)->sp)
/* At its B.LS: carry clear or zero set. */
#define STACK_WILL_GROW(ctx) (!((ctx)->pstate & (1 << 29)) || ((ctx)->pstate & (1 << 30)))
#endif

/* Reads from etcd's memory. A page that is not resident is not fetched: what cannot be read is counted and left out. */
static __always_inline bool take(void *to, __u32 size, __u64 from)
{
	if (bpf_probe_read_user(to, size, (const void *)from) == 0)
		return true;
	count(COUNT_UNREADABLE);
	return false;
}

static __always_inline __u64 take_word(__u64 from)
{
	__u64 word = 0;
	if (!from || !take(&word, sizeof word, from))
		return 0;
	return word;
}

/* The n-th word of the arguments at a stack check: from 0, and known when this is compiled. */
static __always_inline __u64 argument(struct pt_regs *ctx, const struct binary *b, int n)
{
	if (b->layout == LAYOUT_STACK)
		return take_word(GO_SP(ctx) + 8 + 8 * n);
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

/* What a struct operation calls number, count or answer. */
static __always_inline __s64 take_number(__u64 base, __u16 offset, __u8 size)
{
	struct go_string s;
	__s64 number = 0;
	if (offset == NONE || !base)
		return UNKNOWN;
	if (size == 24)
		return take(&s, sizeof s, base + offset) ? s.len : UNKNOWN;
	if (size == 8)
		return take(&number, 8, base + offset) ? number : UNKNOWN;
	if (size == 4)
		return take(&number, 4, base + offset) ? number : UNKNOWN;
	return take(&number, 1, base + offset) ? number : UNKNOWN;
}

/* Copies up to max bytes of a string or slice to a place that has max bytes; gives how many. max is a power of two. */
static __always_inline __u32 take_text(void *to, const struct go_string *s, __u32 max)
{
	__u64 n = s->len;
	if (!s->data || s->len <= 0)
		return 0;
	if (n > max)
		n = max;
	if (n == max)
		return take(to, max, s->data) ? max : 0;
	n &= max - 1;
	return take(to, n, s->data) ? n : 0;
}
