// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"errors"
	"fmt"
)

// ErrNoStackCheck means that a function does not begin with the stack check
// that the compiler puts there: it was written in assembly, it is too small to
// need one, or its frame is of a size for which the check looks different.
var ErrNoStackCheck = errors.New("no stack check at the start of the function")

// A stack check compares the stack pointer with g.stackguard0 and jumps to a
// call of runtime.morestack, which begins the function again on a larger stack.
const (
	// stackGuardOffset is where stackguard0 lies in a g, in all Go versions.
	stackGuardOffset = 16

	// maxCheckBytes is how long a check is at most. With frames above 4 KiB it
	// has five instructions of up to 8 bytes.
	maxCheckBytes = 48
)

// StackCheck returns the address of the conditional jump that ends the stack
// check of f: JBE on amd64, B.LS on arm64. There all arguments are still where
// the caller has put them, on amd64 the kernel emulates the instruction instead
// of stepping over it, and the flags tell whether the jump will be taken, which
// means that f will run once more from its start.
//
// It returns ErrNoStackCheck for whatever does not look exactly like a check.
// Safe for concurrent use.
//
// Source: Go cmd/internal/obj/x86/obj6.go and arm64/obj7.go, stacksplit.
func (b *Binary) StackCheck(f Function) (addr uint64, _ error) {
	code, err := b.image.code(f, maxCheckBytes)
	if err != nil {
		return 0, fmt.Errorf("read the prologue of %s: %w", f.Name, err)
	}
	find := stackCheckAMD64
	if b.image.arch == arm64 {
		find = stackCheckARM64
	}
	offset, err := find(code, f.End-f.Entry)
	if err != nil {
		return 0, fmt.Errorf("prologue of %s: %w: %w", f.Name, ErrNoStackCheck, err)
	}
	return f.Entry + offset, nil
}

// code reads the first instructions of f, at most limit bytes.
func (m *image) code(f Function, limit uint64) ([]byte, error) {
	if f.End <= f.Entry {
		return nil, corrupt("function from %#x to %#x", f.Entry, f.End)
	}
	code := make([]byte, min(f.End-f.Entry, limit))
	return code, m.read(code, f.Entry)
}

// errNotInCheck is the reason for ErrNoStackCheck.
func errNotInCheck(what string, offset uint64) error {
	return fmt.Errorf("%s at +%#x", what, offset)
}
