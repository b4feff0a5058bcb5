// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"cmp"
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVersionsOfEtcdAreMetInAnyOrder(t *testing.T) {
	old := []Probe{{Program: OldBegun}, {Program: OldMet}, {Program: UserFound}}
	since35 := []Probe{{Program: RequestMet}, {Program: UnaryFailed}, {Program: UserFound}, {Program: WriteMet}}
	for name, o := range buffers {
		for first, order := range map[string][][]Probe{"3.4": {old, since35}, "3.5": {since35, old}} {
			t.Run(name+", "+first+" first", func(t *testing.T) {
				o.RingBytes = 64 << 10
				p := loaded(t, o)
				for _, probes := range order {
					require.NoError(t, p.Prepare(probes[:1]), "some need not what others do")
					require.NoError(t, p.Prepare(probes))
					for _, probe := range probes {
						assert.Contains(t, p.loaded.Programs, string(probe.Program))
					}
				}
				uses := map[ebpf.MapID][]string{}
				for name, program := range p.loaded.Programs {
					info, err := program.Info()
					require.NoError(t, err)
					of, _ := info.MapIDs()
					for _, id := range of {
						uses[id] = append(uses[id], name)
					}
				}
				for name, programs := range map[string][]Program{
					etcdMapBegun:        {OldBegun, OldMet},
					etcdMapUsers:        {UserFound, OldMet, RequestMet},
					etcdMapWatchStreams: {OldMet, RequestMet},
					etcdMapOperations:   {OldMet, RequestMet},
				} {
					info, err := p.loaded.Maps[name].Info()
					require.NoError(t, err)
					id, _ := info.ID()
					for _, program := range programs {
						assert.Contains(t, uses[id], string(program), "%s is one for all programs", name)
					}
				}
			})
		}
	}
}

func TestWhatIsCountedCanBeAskedForBeforeAnEtcdIsMet(t *testing.T) {
	for name, o := range buffers {
		t.Run(name, func(t *testing.T) {
			o.RingBytes = 64 << 10
			p := loaded(t, o)
			distributions, err := p.Distributions()
			require.NoError(t, err)
			assert.Empty(t, distributions)
			counters, err := p.Counters()
			require.NoError(t, err)
			assert.Zero(t, counters)
			assert.Zero(t, p.Lost())
			require.NoError(t, p.PutProcess(os.Getpid(), Process{}))
			require.NoError(t, p.RemoveProcess(os.Getpid()))
		})
	}
}

// The kernel of this machine may take what others refuse: 5.10 and 6.1 round the stack of
// each function up to 32 bytes, newer ones to 16 (check_max_stack_depth and
// round_up_stack_depth of kernel/bpf/verifier.c).
func TestCallsWithinCallsFitTheStackOfEveryKernel(t *testing.T) {
	const most = 512
	objects, err := filepath.Glob("generated_*_bpfel.o")
	require.NoError(t, err)
	require.NotEmpty(t, objects)
	for _, object := range objects {
		spec, err := ebpf.LoadCollectionSpec(object)
		require.NoError(t, err)
		for name, program := range spec.Programs {
			deepest := deepestCall(program.Instructions)
			t.Logf("%s, %s: %d", object, name, deepest)
			assert.LessOrEqual(t, deepest, most, "%s, %s", object, name)
			assert.Positive(t, deepest, "%s, %s", object, name)
		}
	}
}

// deepestCall is how much stack the first function takes with those that it calls.
func deepestCall(program asm.Instructions) int {
	const unit = 32
	depth, calls := map[string]int{}, map[string][]string{}
	var first, now string
	var before asm.Instruction
	for _, i := range program {
		if btf.FuncMetadata(&i) != nil {
			now = i.Symbol()
			first = cmp.Or(first, now)
		}
		at := 0
		switch {
		case i.IsFunctionCall():
			calls[now] = append(calls[now], i.Reference())
		case i.OpCode.Class().IsLoad() && i.Src == asm.R10, i.OpCode.Class().IsStore() && i.Dst == asm.R10:
			at = -int(i.Offset)
		case i.OpCode.ALUOp() == asm.Add && before.OpCode.ALUOp() == asm.Mov && before.Src == asm.R10 && before.Dst == i.Dst:
			at = -int(i.Constant) // the address of something
		}
		depth[now] = max(depth[now], at)
		before = i
	}
	var of func(function string) int
	of = func(function string) int {
		below := 0
		for _, called := range calls[function] {
			below = max(below, of(called))
		}
		return (max(depth[function], 1)+unit-1)/unit*unit + below
	}
	return of(first)
}

func TestAllProgramsOnTracepointsAreAskedForMissesWhileTheyAreThere(t *testing.T) {
	p := loaded(t, Options{RingBytes: 64 << 10})
	lifecycle, err := p.FollowLifecycle()
	require.NoError(t, err)
	network, err := p.FollowNetwork()
	require.NoError(t, err)
	assert.Len(t, p.onTracepoints, len(lifecycle.links)+len(network.links))
	_, err = p.Misses()
	assert.NoError(t, err)
	require.NoError(t, network.Close())
	assert.Len(t, p.onTracepoints, len(lifecycle.links))
	_, err = p.Misses()
	assert.NoError(t, err)
	require.NoError(t, lifecycle.Close())
	assert.Empty(t, p.onTracepoints)
}
