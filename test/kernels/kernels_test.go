// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package kernels boots the kernels that Debian has, on both architectures, and has
// the tests of test/trace prove on each what is traced there. `make test-kernels`
// fetches and builds what it needs.
package kernels

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// kernel is one that was fetched.
type kernel struct {
	series, arch string
	version      string
	folder       string
}

// cache has kernels, etcds and test programs.
func cache() string { return os.Getenv("KERNELS_DIR") }

// fetched are the kernels of KERNELS, such as "5.10-amd64 6.12-arm64", that could be
// had.
func fetched(t *testing.T) (all []kernel) {
	t.Helper()
	for _, name := range strings.Fields(os.Getenv("KERNELS")) {
		k := kernel{folder: filepath.Join(cache(), name)}
		version, err := os.ReadFile(filepath.Join(k.folder, "version"))
		if err != nil {
			require.Empty(t, os.Getenv("CI"), "%s cannot be had, and CI leaves none out", name)
			t.Logf("left out: %s cannot be had", name)
			continue
		}
		k.version = strings.TrimSpace(string(version))
		k.series = regexp.MustCompile(`^\d+\.\d+`).FindString(k.version)
		_, k.arch, _ = strings.Cut(name, "-")
		all = append(all, k)
	}
	return all
}

// ladder is the test of test/trace that each kernel runs, and rung what it tells of
// one rung: see there.
const ladder = "TestEveryRungOfTheLadderTracesAllThatIsAsked"

type rung struct {
	Rung                                                                   string
	RingBuffer, BTF                                                        bool
	Uprobes, Requests, Authors, Syncs, Connections, Lifecycle, AfterDetach string
}

func TestEveryKernelTracesAllThatIsAsked(t *testing.T) {
	if os.Getenv("KERNELS") == "" {
		t.Skip("SKIPPED: KERNELS is not set; `make test-kernels` fetches kernels and sets it")
	}
	all := fetched(t)
	require.NotEmpty(t, all, "no kernel could be had")
	told := make([][]rung, len(all))
	t.Run("on", func(t *testing.T) {
		for i, k := range all {
			t.Run(k.series+" "+k.arch, func(t *testing.T) {
				t.Parallel()
				printed := boot(t, k, "", "^"+ladder+"$|^TestAnOrdinaryUserIsToldWhatAnOlderKernel|^TestACollectorThatIsKilled")
				assert.Contains(t, printed, "--- PASS: TestAnOrdinaryUserIsToldWhatAnOlderKernelAsksForToo")
				assert.Contains(t, printed, "--- PASS: TestACollectorThatIsKilledLeavesNothingInTheKernel")
				told[i] = rungs(t, printed)
				want := 4 // what it gives, and three that find tracepoints by their names
				if len(told[i]) > 0 && told[i][0].Uprobes == "uprobe_multi" {
					want++ // probes by perf are another one
				}
				if _, err := os.Stat(filepath.Join(cache(), "etcd-3.4-"+k.arch)); err == nil {
					want++
				} else {
					assert.Empty(t, os.Getenv("CI"), "etcd 3.4 cannot be had, and CI leaves nothing out")
				}
				assert.Len(t, told[i], want, "rungs of the ladder")
				// Where secure boot is on, a distribution locks its kernel down by itself.
				locked := rungs(t, boot(t, k, "lockdown=integrity", "^"+ladder+"$/^what_this_kernel_gives$"))
				if assert.Len(t, locked, 1) {
					assert.Equal(t, "lockdown=integrity", locked[0].Rung)
				}
				told[i] = append(told[i], locked...)
				printed = boot(t, k, "lockdown=confidentiality", "^TestAKernelThatIsLockedDown")
				assert.Contains(t, printed, "--- PASS: TestAKernelThatIsLockedDown")
				for _, r := range told[i] {
					t.Logf("%s %s: %+v", k.version, k.arch, r)
				}
			})
		}
	})
	table(t, all, told)
}

// rungs are what the tests told.
func rungs(t *testing.T, printed string) (all []rung) {
	t.Helper()
	for line := range strings.Lines(printed) {
		if _, text, ok := strings.Cut(line, "rung: "); ok {
			var r rung
			require.NoError(t, json.Unmarshal([]byte(text), &r), text)
			all = append(all, r)
		}
	}
	return all
}
