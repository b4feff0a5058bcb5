// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package kernels

import (
	"cmp"
	"fmt"
	"strings"
	"testing"

	"github.com/etcdreceiver/etcdreceiver/internal/golden"
)

const (
	goldenFile = "kernels.md"
	title      = "| Kernel | Ring buffer | BTF | Probes | Requests traced | Authors of changes | Syncs of the WAL and backend | Connections, processes of clients | Begin and end of etcd | After detaching |\n|---|---|---|---|---|---|---|---|---|---|\n"
)

// table holds what was proven against the golden file. The archive goes on, so a
// run may have other kernels than the file.
func table(t *testing.T, all []kernel, told [][]rung) {
	t.Helper()
	var rows []string
	for i, k := range all {
		for _, r := range told[i] {
			rows = append(rows, row(k, r))
		}
	}
	if t.Failed() {
		return
	}
	golden.Rows(t, goldenFile, title, rows, inOrder, "make test-kernels UPDATE=1")
}

// inOrder orders rows by series, as versions are ordered, then by architecture and
// rung.
func inOrder(a, b string) int {
	version := func(row string) (major, minor int) {
		_, _ = fmt.Sscanf(row, "| %d.%d", &major, &minor)
		return major, minor
	}
	aMajor, aMinor := version(a)
	bMajor, bMinor := version(b)
	return cmp.Or(cmp.Compare(aMajor, bMajor), cmp.Compare(aMinor, bMinor), strings.Compare(golden.FirstCell(a), golden.FirstCell(b)))
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
