// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import "golang.org/x/arch/x86/x86asm"

// stackCheckAMD64 finds the JBE of the stack check in code, the start of a
// function of size bytes, and returns its offset. The check looks like one of
//
//	CMP SP, 16(R14); JBE
//	LEA -x(SP), R12; CMP R12, 16(R14); JBE
//	MOV SP, R12; SUB x, R12; JCS; CMP R12, 16(R14); JBE
//
// where R14 is g. Go 1.16 loads g from thread local storage first, with one MOV
// or, position independent, two. Its check for large frames is another one, and
// refused.
func stackCheckAMD64(code []byte, size uint64) (uint64, error) {
	g, limit := x86asm.R14, x86asm.RSP
	compared := false
	for offset := uint64(0); offset < uint64(len(code)); {
		inst, err := decodeX86(code[offset:])
		if err != nil {
			return 0, errNotInCheck(err.Error(), offset)
		}
		next := offset + uint64(inst.Len)
		to, _ := inst.Args[0].(x86asm.Reg)
		from, _ := inst.Args[1].(x86asm.Mem)
		_, isImm := inst.Args[1].(x86asm.Imm)
		ok := false
		switch inst.Op {
		case x86asm.LEA:
			limit, ok = to, from.Base == x86asm.RSP && from.Index == 0
		case x86asm.MOV:
			switch {
			case inst.Args[1] == x86asm.RSP:
				limit, ok = to, true
			case from.Segment == x86asm.FS || from.Base == x86asm.RIP || isImm:
				g, ok = to, true
			}
		case x86asm.SUB:
			ok = to == limit && to != x86asm.RSP
		case x86asm.CMP:
			ok = to == limit && from.Base == g && from.Index == 0 && from.Disp == stackGuardOffset
			compared = ok
		case x86asm.JB:
			ok = insideX86(inst, next, size)
		case x86asm.JBE:
			if compared && insideX86(inst, next, size) {
				return offset, nil
			}
		}
		if !ok || (compared && inst.Op != x86asm.CMP) { // nothing comes between CMP and JBE
			return 0, errNotInCheck(inst.String(), offset)
		}
		offset = next
	}
	return 0, errNotInCheck("no JBE", uint64(len(code)))
}

// insideX86 reports whether a jump leads forward and stays in the function.
// next is the offset of the instruction after it.
func insideX86(inst x86asm.Inst, next, size uint64) bool {
	distance, ok := inst.Args[0].(x86asm.Rel)
	return ok && distance > 0 && next < size && uint64(distance) < size-next
}

// branchesAMD64 lists the branches in code, which lies at addr.
func branchesAMD64(code []byte, addr uint64) ([]Branch, error) {
	var found []Branch
	for offset := 0; offset < len(code); {
		inst, err := decodeX86(code[offset:])
		if err != nil {
			return found, errNotInCheck(err.Error(), uint64(offset))
		}
		next := offset + inst.Len
		if kind, ok := branchKindX86(inst.Op); ok {
			branch := Branch{Addr: addr + uint64(offset), Kind: kind}
			if distance, direct := inst.Args[0].(x86asm.Rel); direct {
				branch.Target = addr + uint64(next) + uint64(int64(distance))
			} else if kind == Call {
				branch.Kind = IndirectCall
			}
			found = append(found, branch)
		}
		offset = next
	}
	return found, nil
}

func branchKindX86(op x86asm.Op) (_ BranchKind, ok bool) {
	switch op {
	case x86asm.CALL:
		return Call, true
	case x86asm.JNE:
		return JumpNotEqual, true
	case x86asm.JA, x86asm.JAE, x86asm.JB, x86asm.JBE, x86asm.JE, x86asm.JG, x86asm.JGE, x86asm.JL, x86asm.JLE,
		x86asm.JNO, x86asm.JNP, x86asm.JNS, x86asm.JO, x86asm.JP, x86asm.JS, x86asm.JCXZ, x86asm.JECXZ, x86asm.JRCXZ:
		return JumpOther, true
	}
	return 0, false
}

// decodeX86 decodes the instruction at the start of code.
func decodeX86(code []byte) (x86asm.Inst, error) {
	inst, err := x86asm.Decode(code, 64)
	if err == nil && inst.Len == 0 { // as v0.32.0 says of vector instructions it does not know
		err = x86asm.ErrUnrecognized
	}
	return inst, err
}
