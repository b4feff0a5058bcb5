// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import "encoding/binary"

// instruction is one of arm64; all have 4 bytes.
//
// Source: Arm Architecture Reference Manual, C4.1, A64 instruction set encoding.
type instruction uint32

const instructionBytes = 4

// conditional branches: B.cond, and those that compare a register with zero.
func (i instruction) isCondition() bool { return i&0xff000010 == 0x54000000 }
func (i instruction) condition() int    { return int(i & 0xf) }
func (i instruction) isCompareZero() bool {
	return i&0x7e000000 == 0x34000000 // CBZ, CBNZ
}
func (i instruction) isTestBit() bool { return i&0x7e000000 == 0x36000000 } // TBZ, TBNZ
func (i instruction) isNonZero() bool { return i&0x01000000 != 0 }          // the N in the two above
func (i instruction) isCall() bool    { return i&0xfc000000 == 0x94000000 } // BL
func (i instruction) isIndirectCall() bool {
	return i&0xfffffc1f == 0xd63f0000 // BLR
}

// isBranch reports whether the instruction is of the group of branches,
// exceptions and system instructions.
func (i instruction) isBranch() bool { return i&0x1c000000 == 0x14000000 }

// isLoadStackGuard: LDR X?, [X28, #16], where X28 is g.
func (i instruction) isLoadStackGuard() bool { return i&^0x1f == 0xf9400b80 }

// isCompare: CMP of two registers, as SUBS with no result.
func (i instruction) isCompare() bool {
	return i&0xff20001f == 0xeb00001f || i&0xffe0001f == 0xeb20001f
}

const (
	conditionNotEqual = 1
	conditionLower    = 3 // carry clear
	conditionLowSame  = 9
)

// distance is how far in bytes a direct branch jumps, from its own address.
func (i instruction) distance() int64 {
	words := int32(i) << 8 >> 13 // 19 bits from bit 5
	switch {
	case i.isCall():
		words = int32(i) << 6 >> 6 // 26 bits
	case i.isTestBit():
		words = int32(i) << 13 >> 18 // 14 bits from bit 5
	}
	return int64(words) * instructionBytes
}

func (i instruction) kind() (_ BranchKind, ok bool) {
	switch {
	case i.isCall():
		return Call, true
	case i.isIndirectCall():
		return IndirectCall, true
	case i.isCondition() && i.condition() == conditionNotEqual, i.isCompareZero() && i.isNonZero():
		return JumpNotEqual, true
	case i.isCondition(), i.isCompareZero(), i.isTestBit():
		return JumpOther, true
	}
	return 0, false
}

// stackCheckARM64 finds the B.LS of the stack check in code, the start of a
// function of size bytes, and returns its offset. The check looks like one of
//
//	LDR X16, [g, #16]; CMP SP, X16; B.LS
//	LDR X16, [g, #16]; SUB X17, SP, #x; CMP X17, X16; B.LS
//	LDR X16, [g, #16]; SUBS X17, SP, X27; B.LO; CMP X17, X16; B.LS
//
// with other registers in Go 1.16, and with more instructions for large x.
func stackCheckARM64(code []byte, size uint64) (uint64, error) {
	var last instruction
	for offset := uint64(0); offset+instructionBytes <= uint64(len(code)); offset += instructionBytes {
		i := instruction(binary.LittleEndian.Uint32(code[offset:]))
		if offset == 0 && !i.isLoadStackGuard() {
			return 0, errNotInCheck("no load of the stack guard", offset)
		}
		if i.isBranch() {
			target := i.distance()
			inside := i.isCondition() && target > 0 && uint64(target) < size-offset
			switch {
			case inside && i.condition() == conditionLowSame && last.isCompare():
				return offset, nil
			case !inside || i.condition() != conditionLower:
				return 0, errNotInCheck("another branch", offset)
			}
		}
		last = i
	}
	return 0, errNotInCheck("no B.LS", uint64(len(code)))
}

// branchesARM64 lists the branches in code, which lies at addr.
func branchesARM64(code []byte, addr uint64) []Branch {
	var found []Branch
	for ; len(code) >= instructionBytes; code, addr = code[instructionBytes:], addr+instructionBytes {
		i := instruction(binary.LittleEndian.Uint32(code))
		kind, ok := i.kind()
		if !ok {
			continue
		}
		branch := Branch{Addr: addr, Kind: kind}
		if kind != IndirectCall {
			branch.Target = addr + uint64(i.distance())
		}
		found = append(found, branch)
	}
	return found
}
