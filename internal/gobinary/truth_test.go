// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

import (
	"cmp"
	"debug/dwarf"
	"debug/elf"
	"debug/gosym"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/arch/arm64/arm64asm"
)

// The truth about a binary comes from the program itself, from the symbol table
// and from DWARF of a build that differs only in having them.

func TestProgramKnowsItselfAsWeDo(t *testing.T) {
	for _, v := range variants() {
		t.Run(v.String(), func(t *testing.T) { checkAgainstItself(t, buildSubject(t, v)) })
	}
}

func TestFunctionsAreThoseOfTheSymbolTable(t *testing.T) {
	for _, v := range variants() {
		t.Run(v.String(), func(t *testing.T) { checkFunctions(t, buildSubject(t, v)) })
	}
}

func TestStructsAreThoseOfDWARF(t *testing.T) {
	for _, v := range variants() {
		t.Run(v.String(), func(t *testing.T) { checkStructs(t, buildSubject(t, v)) })
	}
}

func TestStackCheckIsWhereMorestackIsCalled(t *testing.T) {
	for _, v := range variants() {
		t.Run(v.String(), func(t *testing.T) {
			checkStackChecks(t, open(t, buildSubject(t, v).stripped), "main.stats35", "main.smallFrame", "main.mediumFrame", "main.hugeFrame")
		})
	}
}

func TestEveryLayoutIsReadFromBinariesOfItsToolchain(t *testing.T) {
	for _, toolchain := range oldToolchains(t) {
		for _, arch := range []string{"amd64", "arm64"} {
			for _, mode := range []string{"exe", "pie"} {
				v := variant{toolchain: toolchain, arch: arch, mode: mode}
				t.Run(v.String(), func(t *testing.T) {
					s := buildSubject(t, v)
					assert.Equal(t, toolchain, open(t, s.stripped).Build().GoVersion)
					t.Run("functions", func(t *testing.T) { checkFunctions(t, s) })
					t.Run("structs", func(t *testing.T) { checkStructs(t, s) })
					t.Run("itself", func(t *testing.T) { checkAgainstItself(t, s) })
					t.Run("stack check", func(t *testing.T) {
						checkStackChecks(t, open(t, s.stripped), "main.stats35", "main.smallFrame", "main.mediumFrame")
					})
				})
			}
		}
	}
}

// checkAgainstItself compares with what the program prints about types, itabs
// and functions. All of its addresses differ by the same amount if it is
// position independent.
func checkAgainstItself(t *testing.T, s *subject) {
	for _, file := range []string{s.full, s.stripped} {
		told := run(t, s, file)
		b := open(t, file)
		functions, err := b.Functions(func(name []byte) bool { return strings.HasPrefix(string(name), "main.") })
		require.NoError(t, err)
		entries := map[string]uint64{}
		for _, f := range functions {
			entries[f.Name] = f.Entry
		}
		bias := told.Functions["main.main"] - entries["main.main"]
		assert.Equal(t, b.Build().PIE, bias != 0)
		for name, addr := range told.Functions {
			assert.Equal(t, addr, entries[name]+bias, name)
		}
		for _, want := range told.Types {
			var fields []string
			for i := range want.Fields {
				fields = append(fields, want.Fields[i].Name)
				want.Fields[i].Type -= bias
			}
			got, err := b.Type(want.Name, fields...)
			if !assert.NoError(t, err) {
				continue
			}
			assert.Equal(t, &Type{
				Name: want.Name, Addr: want.Addr - bias, Pointer: want.Pointer - bias,
				Kind: want.Kind, Size: want.Size, Fields: append([]Field{}, want.Fields...),
			}, emptyNotNil(got))
			again, err := b.TypeAt(got.Addr)
			assert.NoError(t, err)
			assert.Equal(t, emptyNotNil(got), emptyNotNil(again), "the same by address, with the link to the pointer type")
		}
		for _, want := range told.Itabs {
			itabs, err := b.Itabs(want.Interface)
			assert.NoError(t, err)
			i := slices.IndexFunc(itabs, func(tab Itab) bool { return tab.Concrete == want.Concrete })
			if assert.GreaterOrEqual(t, i, 0, want.Concrete) {
				assert.Equal(t, want.Addr-bias, itabs[i].Addr, want.Concrete)
			}
		}
	}
}

// emptyNotNil makes types comparable that have no fields, for one reason or another.
func emptyNotNil(t *Type) *Type {
	if t.Fields == nil {
		t.Fields = []Field{}
	}
	return t
}

// checkFunctions compares names and addresses of all functions with the symbol
// table, and once more with debug/gosym.
func checkFunctions(t *testing.T, s *subject) {
	all := func([]byte) bool { return true }
	b := open(t, s.full)
	functions, err := b.Functions(all)
	require.NoError(t, err)
	stripped, err := open(t, s.stripped).Functions(all)
	require.NoError(t, err)
	assert.Equal(t, functions, stripped, "stripping changes nothing")

	file, err := elf.Open(s.full)
	require.NoError(t, err)
	defer file.Close()
	symbols, err := file.Symbols()
	require.NoError(t, err)
	byAddr := map[uint64][]elf.Symbol{}
	want := 0
	for _, symbol := range symbols {
		if elf.ST_TYPE(symbol.Info) != elf.STT_FUNC || symbol.Size == 0 || symbol.Value < b.module.text || symbol.Value >= b.module.etext {
			continue
		}
		symbol.Name = strings.TrimSuffix(symbol.Name, ".abi0")
		byAddr[symbol.Value] = append(byAddr[symbol.Value], symbol)
		want++
	}
	require.Greater(t, want, 1000)
	have := 0
	for _, f := range functions {
		// Equal functions of two types are stored once, under one of their names.
		generated := strings.HasPrefix(f.Name, "type:.") || strings.HasPrefix(f.Name, "type..")
		i := slices.IndexFunc(byAddr[f.Entry], func(symbol elf.Symbol) bool {
			return (symbol.Name == f.Name || generated || symbol.Name == strings.ReplaceAll(f.Name, "\u00b7", ".")) && symbol.Size <= f.End-f.Entry
		})
		require.GreaterOrEqual(t, i, 0, "%s is no symbol, %v are", f.Name, byAddr[f.Entry])
		have++
		offset, err := b.FileOffset(f.Entry)
		assert.NoError(t, err)
		text := file.Section(".text")
		assert.Equal(t, f.Entry-text.Addr+text.Offset, offset)
	}
	assert.GreaterOrEqual(t, have, want*99/100, "symbols that are no functions: C code, and parts of assembly")

	section := cmp.Or(file.Section(".gopclntab"), file.Section(".data.rel.ro.gopclntab"))
	data, err := section.Data()
	require.NoError(t, err)
	require.NoError(t, b.image.read(data, section.Addr)) // with relocations
	table, err := gosym.NewTable(nil, gosym.NewLineTable(data, b.module.text))
	require.NoError(t, err)
	require.Len(t, functions, len(table.Funcs))
	for i, f := range table.Funcs {
		if functions[i].Name != f.Name || functions[i].Entry != f.Entry || functions[i].End != f.End {
			t.Fatalf("function %d: %+v, debug/gosym has %s from %#x to %#x", i, functions[i], f.Name, f.Entry, f.End)
		}
	}
}

func TestArgsTellSignaturesApart(t *testing.T) {
	for _, v := range variants() {
		t.Run(v.String(), func(t *testing.T) {
			functions, err := open(t, buildSubject(t, v).stripped).Functions(func(name []byte) bool { return strings.HasPrefix(string(name), "main.stats3") })
			require.NoError(t, err)
			args := map[string]int32{}
			for _, f := range functions {
				args[f.Name] = f.Args
			}
			assert.Equal(t, map[string]int32{"main.stats35": 88, "main.stats36": 96}, args)
		})
	}
}

// checkStructs compares all structs that DWARF says are known at run time.
func checkStructs(t *testing.T, s *subject) {
	const goRuntimeType dwarf.Attr = 0x2904
	file, err := elf.Open(s.full)
	require.NoError(t, err)
	defer file.Close()
	data, err := file.DWARF()
	require.NoError(t, err)
	b := open(t, s.full)
	stripped := open(t, s.stripped)
	compared := 0
	for r := data.Reader(); ; {
		entry, err := r.Next()
		require.NoError(t, err)
		if entry == nil {
			break
		}
		addr, _ := entry.Val(goRuntimeType).(uint64)
		if entry.Tag != dwarf.TagStructType || addr == 0 {
			continue
		}
		if addr < b.types.start { // since Go 1.27 an offset
			addr += b.types.start
		}
		found, err := data.Type(entry.Offset)
		require.NoError(t, err)
		want := found.(*dwarf.StructType)
		got, err := b.TypeAt(addr)
		require.NoError(t, err, want.StructName)
		if got.Kind != reflect.Struct { // strings, slices and interfaces are structs for DWARF
			continue
		}
		compared++
		want.StructName = strings.TrimPrefix(want.StructName, "noalg.") // has no equality
		want.StructName, _, _ = strings.Cut(want.StructName, "\u00b7")  // and the number of a local type
		if path := want.StructName[:strings.IndexAny(want.StructName+"[", "[{")]; !strings.HasSuffix(path, "struct ") {
			// DWARF has the path of the package, which need not end with its name.
			name := got.Name[:strings.IndexAny(got.Name+"[", "[")]
			assert.Equal(t, path[strings.LastIndexByte(path, '.'):], name[strings.LastIndexByte(name, '.'):])
		}
		assert.Equal(t, want.ByteSize, int64(got.Size), got.Name)
		if assert.Len(t, got.Fields, len(want.Field), got.Name) {
			for i, f := range want.Field {
				assert.Equal(t, f.ByteOffset, int64(got.Fields[i].Offset), "%s.%s", got.Name, f.Name)
				// Embedded fields have the package in front, fields of closures a dot.
				last := func(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }
				assert.Equal(t, last(f.Name), last(got.Fields[i].Name), got.Name)
			}
		}
		twin, err := stripped.TypeAt(addr)
		if assert.NoError(t, err) {
			assert.Equal(t, got, twin, "stripping changes nothing")
		}
	}
	assert.Greater(t, compared, 100)
}

// checkStackChecks looks at all functions. Those with a stack check are those
// that call runtime.morestack, which only the compiler does. Functions that run
// on the stack of the system call runtime.morestackc instead and look at another
// limit; and in position independent programs, a few that were written in
// assembly load g in another way.
func checkStackChecks(t *testing.T, b *Binary, must ...string) {
	functions, err := b.Functions(func([]byte) bool { return true })
	require.NoError(t, err)
	morestack := map[uint64]bool{}
	for _, f := range functions {
		morestack[f.Entry] = f.Name == "runtime.morestack" || f.Name == "runtime.morestack_noctxt"
	}
	var found, refused []string
	for _, f := range functions {
		branches, err := b.Branches(f)
		if err != nil { // assembly, with instructions that the decoder does not know
			require.ErrorIs(t, err, ErrUnsupported)
			continue
		}
		grows := slices.IndexFunc(branches, func(branch Branch) bool { return branch.Kind == Call && morestack[branch.Target] })
		addr, err := b.StackCheck(f)
		switch {
		case grows < 0:
			assert.ErrorIs(t, err, ErrNoStackCheck, "%s never calls morestack", f.Name)
		case err != nil:
			require.ErrorIs(t, err, ErrNoStackCheck)
			if !strings.HasPrefix(f.Name, "runtime.call") && !strings.HasPrefix(f.Name, "debugCall") {
				refused = append(refused, f.Name)
			}
		default:
			found = append(found, f.Name)
			check := slices.IndexFunc(branches, func(branch Branch) bool { return branch.Addr == addr })
			require.GreaterOrEqual(t, check, 0, f.Name)
			target := branches[check].Target
			// From the target on nothing but spills come before the call.
			next := slices.IndexFunc(branches, func(branch Branch) bool { return branch.Addr >= target })
			require.Equal(t, grows, next, "%s: the jump at %#x to %#x does not lead to morestack", f.Name, addr, target)
		}
	}
	for _, name := range must {
		assert.Contains(t, found, name)
	}
	assert.Greater(t, len(found), 1000)
	if b.types.layout.maxGo <= 16 && b.types.layout.maxGo != 0 {
		assert.Less(t, len(refused), 10, "frames above 4 KiB were checked in another way: %q", refused)
	} else {
		assert.Empty(t, refused)
	}
}

func TestBranchesOfAFunctionThatIsKnown(t *testing.T) {
	for _, v := range variants() {
		t.Run(v.String(), func(t *testing.T) {
			b := open(t, buildSubject(t, v).stripped)
			functions, err := b.Functions(func(name []byte) bool { return string(name) == "main.branching" || string(name) == "main.leaf" })
			require.NoError(t, err)
			require.Len(t, functions, 2)
			slices.SortFunc(functions, func(a, b Function) int { return cmp.Compare(a.Name, b.Name) })
			branching, leaf := functions[0], functions[1]
			check, err := b.StackCheck(branching)
			require.NoError(t, err)
			branches, err := b.Branches(branching)
			require.NoError(t, err)
			require.GreaterOrEqual(t, len(branches), 4)
			assert.Equal(t, check, branches[0].Addr)
			assert.Equal(t, JumpOther, branches[0].Kind)
			assert.Equal(t, IndirectCall, branches[1].Kind)
			assert.Contains(t, []BranchKind{JumpNotEqual, JumpOther}, branches[2].Kind, "err != nil, or its opposite")
			assert.True(t, slices.ContainsFunc(branches, func(branch Branch) bool { return branch.Kind == Call && branch.Target == leaf.Entry }), "calls main.leaf")
		})
	}
}

// The decoder of golang.org/x/arch for arm64 is slower than ours and knows all
// instructions.
func TestBranchesOfARM64AreThoseOfAnotherDecoder(t *testing.T) {
	b := open(t, buildSubject(t, variant{arch: "arm64", mode: "exe"}).stripped)
	functions, err := b.Functions(func([]byte) bool { return true })
	require.NoError(t, err)
	compared := 0
	for _, f := range functions {
		got, err := b.Branches(f)
		require.NoError(t, err)
		code, err := b.image.code(f, maxFunctionBytes)
		require.NoError(t, err)
		var want []Branch
		for offset := 0; offset+instructionBytes <= len(code); offset += instructionBytes {
			inst, err := arm64asm.Decode(code[offset:])
			if err != nil {
				continue
			}
			branch := Branch{Addr: f.Entry + uint64(offset)}
			switch inst.Op {
			case arm64asm.BL:
				branch.Kind = Call
			case arm64asm.BLR:
				branch.Kind = IndirectCall
			case arm64asm.CBNZ:
				branch.Kind = JumpNotEqual
			case arm64asm.CBZ, arm64asm.TBZ, arm64asm.TBNZ:
				branch.Kind = JumpOther
			case arm64asm.B:
				condition, ok := inst.Args[0].(arm64asm.Cond)
				if !ok {
					continue
				}
				if branch.Kind = JumpOther; condition.String() == "NE" {
					branch.Kind = JumpNotEqual
				}
			default:
				continue
			}
			for _, arg := range inst.Args {
				if distance, ok := arg.(arm64asm.PCRel); ok {
					branch.Target = branch.Addr + uint64(distance)
				}
			}
			want = append(want, branch)
		}
		require.Equal(t, want, got, f.Name)
		compared += len(want)
	}
	assert.Greater(t, compared, 10000)
}
