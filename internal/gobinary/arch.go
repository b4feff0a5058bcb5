// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import "debug/elf"

// arch is a processor architecture, named as Go names it.
type arch string

const (
	amd64 arch = "amd64"
	arm64 arch = "arm64"
)

// quantum is the unit of instruction lengths in bytes, as the function table
// gives it.
func (a arch) quantum() byte {
	if a == arm64 {
		return 4
	}
	return 1
}

// relative is the type of relocations that add the load address to a word.
func (a arch) relative() uint32 {
	if a == arm64 {
		return uint32(elf.R_AARCH64_RELATIVE)
	}
	return uint32(elf.R_X86_64_RELATIVE)
}
