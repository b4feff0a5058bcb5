// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import "fmt"

// Branch is an instruction that may continue elsewhere and come back, or not.
type Branch struct {
	Addr   uint64 // virtual address as linked
	Target uint64 // likewise; 0 for an indirect call
	Kind   BranchKind
}

// BranchKind is the kind of a Branch.
type BranchKind uint8

const (
	Call         BranchKind = iota + 1 // of the function at Target
	IndirectCall                       // through a register or memory: a closure, a method of an interface
	JumpNotEqual                       // JNE; on arm64 B.NE and CBNZ
	JumpOther                          // on any other condition
)

// Branches returns the calls and the conditional jumps of f, in order of
// addresses.
//
// An instruction that cannot be decoded ends the list: ErrUnsupported comes with
// the branches before it. Functions that the compiler made have none; the
// vector code of some that were written in assembly has. Safe for concurrent
// use.
func (b *Binary) Branches(f Function) ([]Branch, error) {
	if f.End-f.Entry > maxFunctionBytes {
		return nil, fmt.Errorf("disassemble %s: %w", f.Name, corrupt("%d bytes", f.End-f.Entry))
	}
	code, err := b.image.code(f, maxFunctionBytes)
	if err != nil {
		return nil, fmt.Errorf("disassemble %s: %w", f.Name, err)
	}
	if b.image.arch == arm64 {
		return branchesARM64(code, f.Entry), nil
	}
	branches, err := branchesAMD64(code, f.Entry)
	if err != nil {
		return branches, fmt.Errorf("disassemble %s: %w: %w", f.Name, ErrUnsupported, err)
	}
	return branches, nil
}
