// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"maps"
	"slices"
	"strings"
	"testing"

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
				assert.NotContains(t, p.loaded.Maps, etcdMapBegun)
				for _, version := range order {
					var probes []Probe
					for _, program := range slices.Sorted(maps.Keys(p.spec.Programs)) {
						if strings.HasPrefix(program, version) {
							probes = append(probes, Probe{Program: Program(program)})
						}
					}
					require.NotEmpty(t, probes)
					require.NoError(t, p.loadFor(probes[:1]), "some need not what others do")
					require.NoError(t, p.loadFor(probes))
					for _, probe := range probes {
						assert.Contains(t, p.loaded.Programs, string(probe.Program))
					}
				}
				assert.Contains(t, p.loaded.Maps, etcdMapBegun, "3.4's programs share what has begun")
			})
		}
	}
}
