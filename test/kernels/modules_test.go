// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package kernels

import (
	"bytes"
	"debug/elf"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// modules are those that were fetched with a kernel, in an order in which each
// comes after those that it needs.
func modules(t *testing.T, k kernel) (paths []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(k.folder, "modules", "*.ko"))
	require.NoError(t, err)
	byName := map[string]string{}
	for _, f := range files {
		byName[moduleName(f)] = f
	}
	seen := map[string]bool{}
	var add func(name string)
	add = func(name string) {
		path := byName[name]
		if path == "" || seen[name] {
			return // built in, or there already
		}
		seen[name] = true
		for _, other := range depends(t, path) {
			add(other)
		}
		paths = append(paths, path)
	}
	// The names of checksums come first, and ext4 finds these by name only.
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		add(name)
	}
	return paths
}

// moduleName is the kernel's own, which has no hyphens.
func moduleName(path string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(path), ".ko"), "-", "_")
}

func depends(t *testing.T, path string) []string {
	t.Helper()
	file, err := elf.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	info, err := file.Section(".modinfo").Data()
	require.NoError(t, err)
	for _, line := range bytes.Split(info, []byte{0}) {
		if names, ok := strings.CutPrefix(string(line), "depends="); ok {
			return strings.Split(strings.ReplaceAll(names, "-", "_"), ",")
		}
	}
	return nil
}
