// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package kernels

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/etcdreceiver/etcdreceiver/internal/golden"
)

const (
	goldenFile = "kernels.md"
	title      = "| Kernel | Ring buffer | BTF | Probes | Requests traced | Syncs of the WAL and backend | Begin and end of etcd | After detaching |\n|---|---|---|---|---|---|---|---|\n"
)

// table holds what was proven against the golden file. The archive goes on, so a
// run may have other kernels than the file: only rows of the same name are
// compared. -update writes all.
func table(t *testing.T, all []kernel, told [][]rung) {
	t.Helper()
	var rows []string
	for i, k := range all {
		for _, r := range told[i] {
			rows = append(rows, row(k, r))
		}
	}
	whole := title + strings.Join(rows, "")
	t.Log("\n" + whole)
	if t.Failed() {
		return
	}
	if golden.Updating() {
		golden.Text(t, goldenFile, bytes.TrimRight([]byte(whole), "\n"))
		return
	}
	known, err := os.ReadFile(golden.Path("golden/" + goldenFile))
	require.NoError(t, err)
	for _, r := range rows {
		name := r[:strings.Index(r[1:], "|")+2]
		if bytes.Contains(known, []byte("\n"+name)) {
			assert.Contains(t, string(known), r, "%s differs; if that is meant, run `make test-kernels UPDATE=1` and review the diff", goldenFile)
		} else {
			t.Logf("a kernel that is new: %s", name)
		}
	}
}

func row(k kernel, r rung) string {
	yes := map[bool]string{true: "yes", false: "no"}
	name := k.series + " " + k.arch
	if r.Rung != "" {
		name += ", " + r.Rung
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %s |\n", name, yes[r.RingBuffer], yes[r.BTF], r.Uprobes, r.Requests, r.Syncs, r.Lifecycle, r.AfterDetach)
}
