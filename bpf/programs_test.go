// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVersionsOfEtcdAreMetInAnyOrder(t *testing.T) {
	const old, since35 = "old_", "unary_"
	for name, o := range buffers {
		for _, order := range [][]string{{old, since35}, {since35, old}} {
			t.Run(name+", "+order[0]+" first", func(t *testing.T) {
				o.RingBytes = 64 << 10
				p := loaded(t, o)
				for _, version := range order {
					assert.Equal(t, version == since35 && order[0] == old, p.loaded.Maps[etcdMapBegun] != nil, "before %s", version)
					var probes []Probe
					for _, program := range slices.Sorted(maps.Keys(p.spec.Programs)) {
						if strings.HasPrefix(program, version) {
							probes = append(probes, Probe{Program: Program(program)})
						}
					}
					require.NotEmpty(t, probes)
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
				info, err := p.loaded.Maps[etcdMapBegun].Info()
				require.NoError(t, err)
				id, _ := info.ID()
				assert.Contains(t, uses[id], "old_begun")
				assert.Contains(t, uses[id], "old_ended", "it was begun where it ends")
			})
		}
	}
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
