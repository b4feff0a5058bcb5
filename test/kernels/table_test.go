// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package kernels

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/etcdreceiver/etcdreceiver/internal/golden"
)

const (
	goldenFile = "kernels.md"
	title      = "| Kernel | Ring buffer | BTF | Probes | Requests traced | Authors of changes | Syncs of the WAL and backend | Connections, processes of clients | Begin and end of etcd | After detaching |\n|---|---|---|---|---|---|---|---|---|---|\n"
)

// table holds what was proven against the golden file. The archive goes on, so a
// run may have other kernels than the file: rows of the same name are compared, or
// written by -update.
func table(t *testing.T, all []kernel, told [][]rung) {
	t.Helper()
	var rows []string
	for i, k := range all {
		for _, r := range told[i] {
			rows = append(rows, row(k, r))
		}
	}
	t.Log("\n" + title + strings.Join(rows, ""))
	if t.Failed() {
		return
	}
	text, err := os.ReadFile(golden.Path("golden/" + goldenFile))
	known := map[string]string{}
	for line := range strings.Lines(strings.TrimPrefix(string(text), title)) {
		known[nameOf(line)] = line
	}
	if golden.Updating() {
		for _, r := range rows {
			known[nameOf(r)] = r
		}
		golden.Text(t, goldenFile, []byte(strings.TrimRight(title+strings.Join(inOrder(known), ""), "\n")))
		return
	}
	require.NoError(t, err)
	for _, r := range rows {
		if was, ok := known[nameOf(r)]; ok {
			assert.Equal(t, was, r, "%s differs; if that is meant, run `make test-kernels UPDATE=1` and review the diff", goldenFile)
		} else {
			t.Logf("a kernel that is new:%s", nameOf(r))
		}
	}
}

func nameOf(row string) string { return strings.SplitN(row, "|", 3)[1] }

// inOrder are rows by series, as versions are ordered, then by architecture and
// rung.
func inOrder(known map[string]string) []string {
	return slices.SortedFunc(maps.Values(known), func(a, b string) int {
		version := func(row string) (major, minor int) {
			_, _ = fmt.Sscanf(row, "| %d.%d", &major, &minor)
			return major, minor
		}
		aMajor, aMinor := version(a)
		bMajor, bMinor := version(b)
		return cmp.Or(cmp.Compare(aMajor, bMajor), cmp.Compare(aMinor, bMinor), strings.Compare(nameOf(a), nameOf(b)))
	})
}

func row(k kernel, r rung) string {
	yes := map[bool]string{true: "yes", false: "no"}
	name := k.series + " " + k.arch
	if r.Rung != "" {
		name += ", " + r.Rung
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n",
		name, yes[r.RingBuffer], yes[r.BTF], r.Uprobes, r.Requests, r.Authors, r.Syncs, r.Connections, r.Lifecycle, r.AfterDetach)
}
