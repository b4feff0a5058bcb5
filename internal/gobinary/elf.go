// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// readImage reads the ELF header and the program headers of r.
//
// Section headers are not used, so a file without them is as good as any other.
// Nor is debug/elf.NewFile: it reads tables in whatever size a file claims,
// which in a sparse file costs its author nothing.
func readImage(r io.ReaderAt) (*image, error) {
	m := &image{r: r, left: maxScanBytes}
	var header elf.Header64
	if err := m.decodeFile(&header, 0); err != nil || !bytes.HasPrefix(header.Ident[:], []byte(elf.ELFMAG)) {
		if err == nil || isCorrupt(err) {
			return nil, ErrNotELF
		}
		return nil, err
	}
	if err := m.identify(&header); err != nil {
		return nil, err
	}
	dynamic, err := m.readSegments(&header)
	if err != nil {
		return nil, err
	}
	if m.pie {
		if err := m.readRelocations(dynamic); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// identify checks that the file is a 64-bit program for a known architecture.
func (m *image) identify(header *elf.Header64) error {
	class, data := elf.Class(header.Ident[elf.EI_CLASS]), elf.Data(header.Ident[elf.EI_DATA])
	if class != elf.ELFCLASS64 || data != elf.ELFDATA2LSB {
		return fmt.Errorf("%w: %v, %v instead of 64 bit, little endian", ErrUnsupported, class, data)
	}
	switch machine := elf.Machine(header.Machine); machine {
	case elf.EM_X86_64:
		m.arch = amd64
	case elf.EM_AARCH64:
		m.arch = arm64
	default:
		return fmt.Errorf("%w: architecture %v, neither amd64 nor arm64", ErrUnsupported, machine)
	}
	switch kind := elf.Type(header.Type); kind {
	case elf.ET_EXEC:
	case elf.ET_DYN:
		m.pie = true
	default:
		return fmt.Errorf("%w: %v is no program", ErrUnsupported, kind)
	}
	return nil
}

// readSegments fills m.segments and returns the dynamic section, if there is one.
func (m *image) readSegments(header *elf.Header64) (dynamic segment, _ error) {
	const entryBytes = 56
	if header.Phentsize != entryBytes || header.Phnum > maxProgramHeaders {
		return segment{}, corrupt("%d program headers of %d bytes", header.Phnum, header.Phentsize)
	}
	progs := make([]elf.Prog64, header.Phnum)
	if err := m.decodeFile(progs, header.Phoff); err != nil {
		return segment{}, fmt.Errorf("read program headers: %w", err)
	}
	for _, p := range progs {
		kind := elf.ProgType(p.Type)
		if (kind != elf.PT_LOAD && kind != elf.PT_DYNAMIC) || p.Filesz == 0 {
			continue
		}
		if p.Vaddr > math.MaxUint64-p.Filesz || p.Off > math.MaxInt64 || p.Filesz > math.MaxInt64-p.Off {
			return segment{}, corrupt("segment at %#x, %#x bytes from file offset %#x", p.Vaddr, p.Filesz, p.Off)
		}
		s := segment{addr: p.Vaddr, size: p.Filesz, offset: p.Off, flags: elf.ProgFlag(p.Flags)}
		if kind == elf.PT_DYNAMIC {
			dynamic = s
		} else {
			m.segments = append(m.segments, s)
		}
	}
	if len(m.segments) == 0 {
		return segment{}, corrupt("nothing to load")
	}
	return dynamic, nil
}

// decodeFile fills data, of fixed size, from the file.
func (m *image) decodeFile(data any, offset uint64) error {
	p := make([]byte, binary.Size(data))
	if err := m.readFile(p, offset); err != nil {
		return err
	}
	_, err := binary.Decode(p, binary.LittleEndian, data)
	return err
}
