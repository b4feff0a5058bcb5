// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patchedFile is a file of which a few words have been changed. It counts what
// is read, because nothing else shows a loop before it hurts.
type patchedFile struct {
	base    []byte
	patches []patch
	read    int64
}

type patch struct {
	offset uint64
	word   uint64
}

func (f *patchedFile) ReadAt(p []byte, offset int64) (int, error) {
	n, err := readerAt(f.base).ReadAt(p, offset)
	f.read += int64(n)
	for _, change := range f.patches {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], change.word)
		for i, b := range word {
			if at := int64(change.offset) + int64(i) - offset; at >= 0 && at < int64(n) {
				p[at] = b
			}
		}
	}
	return n, err
}

// maxReadBytes is what Open and all questions of ask may read from a file,
// whatever is in it. Names of functions and types may be read many times over.
const maxReadBytes = 4 << 30

// ask opens the file and asks everything, and fails if that takes too much or
// the errors are not those that are promised.
func ask(t *testing.T, r io.ReaderAt) {
	t.Helper()
	b, err := Open(r)
	checkError(t, err)
	if err != nil {
		assert.Nil(t, b)
		return
	}
	functions, err := b.Functions(func(name []byte) bool { return strings.HasPrefix(string(name), "main.") })
	checkError(t, err)
	for _, f := range functions {
		_, err := b.StackCheck(f)
		checkError(t, err)
		_, err = b.Branches(f)
		checkError(t, err)
		_, err = b.FileOffset(f.Entry)
		checkError(t, err)
	}
	for _, name := range []string{"main.everything", "net.TCPAddr", "context.valueCtx", "status.Status"} {
		typ, err := b.Type(name, "Key"[:len(name)%2*3]) // with and without a field
		checkError(t, err)
		if err != nil {
			continue
		}
		for _, f := range typ.Fields {
			_, err := b.TypeAt(f.Type)
			checkError(t, err)
		}
	}
	for _, name := range []string{"main.request", "net.Addr"} {
		_, err := b.Itabs(name)
		checkError(t, err)
	}
}

func checkError(t *testing.T, err error) {
	t.Helper()
	promised := []error{ErrNotELF, ErrNotGo, ErrUnsupported, ErrCorrupt, ErrNotFound, ErrAmbiguous, ErrNoStackCheck}
	if err != nil && !slices.ContainsFunc(promised, func(target error) bool { return errors.Is(err, target) }) {
		t.Errorf("not one of the errors that callers know: %v", err)
	}
}

// interesting are places in a file that much depends on, as offset and length.
func interesting(t testing.TB, file []byte) [][2]uint64 {
	b, err := Open(readerAt(file))
	require.NoError(t, err)
	at := func(addr, n uint64) [2]uint64 {
		s, ok := b.image.segmentOf(addr, n)
		require.True(t, ok)
		return [2]uint64{s.offset + addr - s.addr, n}
	}
	everything, err := b.Type("main.everything")
	require.NoError(t, err)
	d := b.module
	places := [][2]uint64{
		{0, 64 + 56*12}, // ELF header and program headers
		at(d.table.addr, 72), at(d.table.table, 2048), at(d.records.addr+d.records.len/2, 2048), at(d.names.addr, 512),
		at(b.types.itabs.addr, 64), at(everything.Addr, 96), at(everything.Pointer, 64),
		at(d.words[b.types.layout.typelinks], 256),
		at(functionNamed(t, b, "main.stats35").Entry, 64),
	}
	head, err := b.image.words(everything.Addr+descriptorBytes+8, 2)
	require.NoError(t, err)
	places = append(places, at(head[0], head[1]*24))
	require.NoError(t, b.image.scan(b.image.that(writable), []uint64{d.table.addr}, func(addr, _ uint64) error {
		places = append(places, at(addr, moduleWords*8))
		return nil
	}))
	if i := bytes.Index(file, []byte("\xff Go buildinf:")); i >= 0 {
		places = append(places, [2]uint64{uint64(i), 128})
	}
	for _, prog := range elfProgs(t, file) {
		if prog.Type == elf.PT_DYNAMIC {
			places = append(places, [2]uint64{prog.Off, prog.Filesz})
		}
	}
	return places
}

func elfProgs(t testing.TB, file []byte) []*elf.Prog {
	f, err := elf.NewFile(readerAt(file))
	require.NoError(t, err)
	return f.Progs
}

func functionNamed(t testing.TB, b *Binary, name string) Function {
	found, err := b.Functions(func(n []byte) bool { return string(n) == name })
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}

// hostileWords are values that arithmetic likes to trip over.
var hostileWords = []uint64{0, 1, 7, 1 << 31, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 8, 1<<64 - 1, 0x400000, 0xffffffff_00000001}

func TestChangedFilesGiveErrorsAndNothingWorse(t *testing.T) {
	const rounds = 120
	for _, v := range variants()[:4] {
		t.Run(v.String(), func(t *testing.T) {
			file := readFile(t, buildSubject(t, v).stripped)
			places := interesting(t, file)
			random := rand.New(rand.NewPCG(1, 2))
			for range rounds {
				var patches []patch
				for range 1 + random.IntN(3) {
					place := places[random.IntN(len(places))]
					word := hostileWords[random.IntN(len(hostileWords))]
					offset := place[0] + random.Uint64N(place[1])
					if random.IntN(2) == 0 { // a field, not something across two
						offset &^= 7
					}
					if random.IntN(3) == 0 && offset+8 <= uint64(len(file)) { // nearly right is worse than wrong
						word = binary.LittleEndian.Uint64(file[offset:]) + uint64(random.IntN(65)) - 32
					}
					patches = append(patches, patch{offset, word})
				}
				f := &patchedFile{base: file, patches: patches}
				allocated := allocatedBytes(func() { ask(t, f) })
				if f.read > maxReadBytes || allocated > maxAllocated || t.Failed() {
					t.Fatalf("%d bytes read, %d bytes allocated, patches %#x", f.read, allocated, patches)
				}
			}
		})
	}
}

func TestShortenedFilesGiveErrors(t *testing.T) {
	file := readFile(t, buildSubject(t, variants()[0]).stripped)
	for _, progs := range elfProgs(t, file) {
		for _, end := range []uint64{progs.Off, progs.Off + 1, progs.Off + progs.Filesz/2, progs.Off + progs.Filesz - 1} {
			if end >= uint64(len(file)) {
				continue
			}
			ask(t, readerAt(file[:end]))
		}
	}
	for end := range 2048 {
		_, err := Open(readerAt(file[:end]))
		assert.Error(t, err, "the first %d bytes", end)
	}
}

func TestSectionHeadersAreNotNeeded(t *testing.T) {
	file := readFile(t, buildSubject(t, variants()[0]).stripped)
	want, err := Open(readerAt(file))
	require.NoError(t, err)
	clear(file[40:48]) // e_shoff
	clear(file[58:64]) // e_shentsize, e_shnum, e_shstrndx
	got, err := Open(readerAt(file))
	require.NoError(t, err)
	assert.Equal(t, want.Build(), got.Build())
	assert.Equal(t, functionNamed(t, want, "main.main"), functionNamed(t, got, "main.main"))
	_, err = got.Type("main.everything")
	assert.NoError(t, err)
}

// endless is a sparse file of the largest size there is, with a beginning.
type endless struct {
	begin []byte
	read  int // bytes
}

func (e *endless) ReadAt(p []byte, offset int64) (int, error) {
	clear(p)
	if offset < int64(len(e.begin)) {
		copy(p, e.begin[offset:])
	}
	e.read += len(p)
	return len(p), nil
}

// openEndless has Open refuse a file that claims to be a program with these parts.
func openEndless(t *testing.T, content []byte, parts ...elf.Prog64) {
	t.Helper()
	var head bytes.Buffer
	header := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Phoff: 64, Phentsize: 56, Phnum: uint16(len(parts))}
	copy(header.Ident[:], "\x7fELF\x02\x01\x01")
	require.NoError(t, binary.Write(&head, binary.LittleEndian, header))
	require.NoError(t, binary.Write(&head, binary.LittleEndian, parts))
	copy(content, head.Bytes())
	file := &endless{begin: content}
	allocated := allocatedBytes(func() {
		_, err := Open(file)
		assert.ErrorIs(t, err, ErrNotGo)
	})
	assert.Less(t, allocated, uint64(maxAllocated))
	const dynamic = 4 << 10
	assert.Less(t, file.read, maxScanBytes+24*maxRelocations+dynamic+2*windowBytes)
}

func part(kind elf.ProgType, flags elf.ProgFlag, offset, size uint64) elf.Prog64 {
	const addr = 1 << 20
	return elf.Prog64{Type: uint32(kind), Flags: uint32(flags), Off: offset, Vaddr: addr + offset, Filesz: size, Memsz: size, Align: 1}
}

// A file can claim any size without having it.
func TestSparseFilesCostLittle(t *testing.T) {
	content := make([]byte, 1<<17)
	for i, dynamic := range [][2]uint64{{uint64(elf.DT_RELA), 1 << 20}, {uint64(elf.DT_RELASZ), 24 * maxRelocations}} {
		binary.LittleEndian.PutUint64(content[1<<16+i*16:], dynamic[0])
		binary.LittleEndian.PutUint64(content[1<<16+i*16+8:], dynamic[1])
	}
	openEndless(t, content,
		part(elf.PT_LOAD, elf.PF_R|elf.PF_X, 0, 1<<62), part(elf.PT_LOAD, elf.PF_R, 0, 1<<62), part(elf.PT_LOAD, elf.PF_R|elf.PF_W, 0, 1<<62),
		part(elf.PT_DYNAMIC, elf.PF_R, 1<<16, 1<<62))
}

// A file can be full of what looks like the function table.
func TestManyTablesCostLittle(t *testing.T) {
	const magic = 8<<56 | 1<<48 | uint64(format120)
	const constants, code, size = 1 << 12, 1 << 16, 1 << 20
	content := make([]byte, code+size)
	for i := range uint64(maxCandidates) { // each of which is none, as another follows
		binary.LittleEndian.PutUint64(content[constants+8*i:], magic)
	}
	table := []uint64{magic, 1, 1, 0, 72, 80, 88, 96, 104} // any of which may be one
	for at := uint64(code); at+72 <= code+size; at += 72 {
		for i, word := range table {
			binary.LittleEndian.PutUint64(content[at+8*uint64(i):], word)
		}
	}
	openEndless(t, content, part(elf.PT_LOAD, elf.PF_R, constants, 8*maxCandidates), part(elf.PT_LOAD, elf.PF_R|elf.PF_X, code, size))
}

// maxAllocated is what Open and all questions of ask may allocate, in bytes.
const maxAllocated = 128 << 20

// allocatedBytes returns how much f allocates, also what is free again.
func allocatedBytes(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	file := readFile(t, buildSubject(t, variants()[0]).stripped)
	with := func(change func(file []byte)) []byte {
		changed := slices.Clone(file)
		change(changed)
		return changed
	}
	for name, c := range map[string]struct {
		file  []byte
		err   error
		text  string
		extra string
	}{
		"empty":           {nil, ErrNotELF, "", ""},
		"a script":        {[]byte("#!/bin/sh\n" + strings.Repeat("exec etcd\n", 20)), ErrNotELF, "", ""},
		"a short header":  {[]byte("\x7fELF\x02\x01\x01"), ErrNotELF, "", ""},
		"32 bit":          {with(func(f []byte) { f[elf.EI_CLASS] = byte(elf.ELFCLASS32) }), ErrUnsupported, "ELFCLASS32", ""},
		"big endian":      {with(func(f []byte) { f[elf.EI_DATA] = byte(elf.ELFDATA2MSB) }), ErrUnsupported, "ELFDATA2MSB", ""},
		"another machine": {with(func(f []byte) { f[18] = byte(elf.EM_RISCV) }), ErrUnsupported, "EM_RISCV", ""},
		"an object file":  {with(func(f []byte) { f[16] = byte(elf.ET_REL) }), ErrUnsupported, "ET_REL", ""},
		"no segments":     {with(func(f []byte) { clear(f[56:58]) }), ErrCorrupt, "nothing to load", ""},
		"no function table": {with(func(f []byte) {
			replace(f, "\xf1\xff\xff\xff\x00\x00\x01\x08", "........")
		}), ErrNotGo, "pclntab", ""},
		"no build info":      {with(func(f []byte) { replace(f, "\xff Go buildinf:", "..............") }), ErrNotGo, "build info", ""},
		"a Go of the future": {with(func(f []byte) { replace(f, runtime.Version(), "go2"+runtime.Version()[3:]) }), ErrUnsupported, "go2", ""},
		"another Go version": {with(func(f []byte) { replace(f, runtime.Version()[:6], "go1.20") }), ErrUnsupported, "Go 1.20", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(readerAt(c.file))
			assert.ErrorIs(t, err, c.err)
			assert.ErrorContains(t, err, c.text)
		})
	}
}

// replace changes all occurrences.
func replace(file []byte, old, with string) {
	for i := 0; ; i += len(old) {
		found := bytes.Index(file[i:], []byte(old))
		if found < 0 {
			return
		}
		i += found
		copy(file[i:], with)
	}
}

var errDisk = errors.New("disk on fire")

// failing is a file that cannot be read beyond a point.
type failing struct {
	readerAt
	from int64
}

func (f failing) ReadAt(p []byte, offset int64) (int, error) {
	if offset+int64(len(p)) > f.from {
		return 0, fmt.Errorf("read: %w", errDisk)
	}
	return f.readerAt.ReadAt(p, offset)
}

// What reading is to blame for is not blamed on the file.
func TestErrorsOfTheReaderArePassedOn(t *testing.T) {
	file := readFile(t, buildSubject(t, variants()[0]).stripped)
	for from := int64(0); from < int64(len(file))/2; from += int64(len(file)) / 37 {
		_, err := Open(failing{file, from})
		assert.ErrorIs(t, err, errDisk)
		assert.NotErrorIs(t, err, ErrCorrupt)
		assert.NotErrorIs(t, err, ErrNotELF)
	}
}

// FuzzChangedFile changes words of a real program: each 11 bytes of the input
// are the number of an interesting place, an offset in it and a word.
func FuzzChangedFile(f *testing.F) {
	var files [][]byte
	var places [][][2]uint64
	for _, v := range variants()[:4] {
		file := readFile(f, buildSubject(f, v).stripped)
		files = append(files, file)
		places = append(places, interesting(f, file))
	}
	const patchBytes = 11
	for which := range byte(4) {
		f.Add(which, []byte{})
		f.Add(which, append([]byte{11, 0, 22 * 8}, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f))
	}
	f.Fuzz(func(t *testing.T, which byte, input []byte) {
		which %= byte(len(files))
		file := &patchedFile{base: files[which]}
		for ; len(input) >= patchBytes && len(file.patches) < 8; input = input[patchBytes:] {
			place := places[which][int(input[0])%len(places[which])]
			file.patches = append(file.patches, patch{
				offset: place[0] + uint64(binary.LittleEndian.Uint16(input[1:]))%place[1],
				word:   binary.LittleEndian.Uint64(input[3:]),
			})
		}
		ask(t, file)
		if file.read > maxReadBytes {
			t.Fatalf("%d bytes read", file.read)
		}
	})
}

// FuzzFile opens anything.
func FuzzFile(f *testing.F) {
	file := readFile(f, buildSubject(f, variants()[0]).stripped)
	f.Add(file[:64+56*8])
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, file []byte) { ask(t, readerAt(file)) })
}

// FuzzCode disassembles anything.
func FuzzCode(f *testing.F) {
	for _, v := range []variant{variants()[0], variants()[2]} {
		b := open(f, buildSubject(f, v).stripped)
		for _, name := range []string{"main.stats35", "main.mediumFrame", "main.hugeFrame", "main.branching"} {
			code, err := b.image.code(functionNamed(f, b, name), 64)
			require.NoError(f, err)
			f.Add(code)
		}
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		size := uint64(len(code))
		for _, find := range []func([]byte, uint64) (uint64, error){stackCheckAMD64, stackCheckARM64} {
			if offset, err := find(code[:min(size, maxCheckBytes)], size); err == nil && offset >= maxCheckBytes {
				t.Fatalf("stack check at +%#x", offset)
			}
		}
		branches, _ := branchesAMD64(code, 0x400000)
		for _, found := range [][]Branch{branches, branchesARM64(code, 0x400000)} {
			for i, branch := range found {
				if branch.Addr < 0x400000 || branch.Addr >= 0x400000+size || (i > 0 && branch.Addr <= found[i-1].Addr) {
					t.Fatalf("branch %d of %+v", i, found)
				}
			}
		}
	})
}
