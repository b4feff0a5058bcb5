// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componentstatus"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// Numbers of capabilities: include/uapi/linux/capability.h.
const (
	capDACReadSearch = 2
	capSysPtrace     = 19
	capSysAdmin      = 21
	capSysResource   = 24
	capPerfmon       = 38
	capBPF           = 39
)

const remedy = ": run it as root, or give it CAP_BPF and CAP_PERFMON, and CAP_SYS_PTRACE to look into an etcd of another user"

// TestAnOrdinaryUserTracesWithThreeCapabilities, and whoever has fewer is told what
// is missing. The etcd is root's.
func TestAnOrdinaryUserTracesWithThreeCapabilities(t *testing.T) {
	harness.NeedRoot(t)
	cluster := harness.Start(t, "3.6", localcluster.Config{})
	for name, tc := range map[string]struct {
		caps  []uintptr
		lacks string // "" if it works
		later bool   // the programs load, but this etcd cannot be looked into
	}{
		"none":                     {nil, "CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE", false},
		"bpf":                      {[]uintptr{capBPF}, "CAP_PERFMON, CAP_SYS_PTRACE", false},
		"perfmon":                  {[]uintptr{capPerfmon}, "CAP_BPF, CAP_SYS_PTRACE", false},
		"bpf and ptrace":           {[]uintptr{capBPF, capSysPtrace}, "CAP_PERFMON", false},
		"perfmon and ptrace":       {[]uintptr{capPerfmon, capSysPtrace}, "CAP_BPF", false},
		"bpf and perfmon":          {[]uintptr{capBPF, capPerfmon}, "CAP_SYS_PTRACE", true},
		"admin":                    {[]uintptr{capSysAdmin}, "CAP_SYS_PTRACE", true},
		"bpf, perfmon and ptrace":  {[]uintptr{capBPF, capPerfmon, capSysPtrace}, "", false},
		"admin and ptrace instead": {[]uintptr{capSysAdmin, capSysPtrace}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, mode := range []string{"required", "auto"} {
				seen := startAs(t, tc.caps, seenBy{Mode: mode, PID: cluster.Members()[0].PID(), Endpoint: cluster.Endpoints()[0]})
				why := "the collector lacks " + tc.lacks + remedy + " (the kernel says: "
				switch {
				case tc.lacks == "":
					assert.Empty(t, seen.Failure)
					assert.Contains(t, seen.Log, "requests of etcd are traced")
				case tc.later && mode == "required":
					assert.Contains(t, seen.Status, why)
				case mode == "required":
					assert.Contains(t, seen.Failure, "ebpf.mode: required, but requests cannot be traced here: "+why)
					assert.Contains(t, seen.Failure, "; or use ebpf.mode: auto")
				default:
					assert.Empty(t, seen.Failure)
					assert.Contains(t, seen.Log, why)
					assert.NotContains(t, seen.Log, "requests of etcd are traced")
				}
			}
		})
	}
}

// What is no request is found by its name in tracefs then, which is root's.
func TestAnOrdinaryUserIsToldWhatReadsTracefsWhereThereIsNoBTF(t *testing.T) {
	harness.NeedRoot(t)
	if os.Getenv(inPlace) == "" {
		goTo(t, "without BTF", place{})
		return
	}
	mountTracefs(t)
	mount(t, "none", "/sys/kernel/btf", "tmpfs", 0)
	cluster := harness.Start(t, "3.6", localcluster.Config{})
	what := seenBy{Mode: "required", PID: cluster.Members()[0].PID(), Endpoint: cluster.Endpoints()[0]}
	caps := []uintptr{capBPF, capPerfmon, capSysPtrace}
	const lacks = "the collector lacks CAP_DAC_READ_SEARCH: run it as root, or give it that too, by which another user reads /sys/kernel/"

	seen := startAs(t, caps, what)
	assert.Empty(t, seen.Failure)
	assert.Contains(t, seen.Log, "requests of etcd are traced")
	lines := []string{
		"connections of etcd are not followed; requests are", "syncs of etcd's files are not followed; requests are",
		"the kernel does not tell which processes begin and end",
	}
	for _, line := range lines {
		_, rest, ok := strings.Cut(seen.Log, line)
		says, _, _ := strings.Cut(rest, "\n")
		assert.True(t, ok && strings.Contains(says, lacks), "%s:\n%s", line, seen.Log)
	}

	seen = startAs(t, append(caps, capDACReadSearch), what)
	assert.Contains(t, seen.Log, "requests of etcd are traced")
	for _, line := range lines {
		assert.NotContains(t, seen.Log, line)
	}
}

// seenBy is what a collector without root's rights is told to do, and what came of
// it.
type seenBy struct {
	Mode     string
	PID      int
	Endpoint string

	Failure     string // of Start
	Log, Status string
}

const asAnother = "TRACE_AS_ANOTHER"

// startAs runs this test's program as an ordinary user with some capabilities.
func startAs(t *testing.T, caps []uintptr, what seenBy) seenBy {
	t.Helper()
	task, err := json.Marshal(what)
	require.NoError(t, err)
	self, err := os.Open("/proc/self/exe") // its folder is root's alone
	require.NoError(t, err)
	defer func() { _ = self.Close() }()
	read, write, err := os.Pipe()
	require.NoError(t, err)
	defer func() { _ = read.Close() }()
	cmd := exec.Command("/proc/self/fd/3", "-test.run=^TestReceiverAsAnother$")
	cmd.ExtraFiles = []*os.File{self, write}
	cmd.Env = append(os.Environ(), asAnother+"="+string(task))
	cmd.Dir = "/"
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, AmbientCaps: caps, Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	require.NoError(t, write.Close())
	result, err := io.ReadAll(read)
	require.NoError(t, err)
	require.NoError(t, cmd.Wait(), "%s", out.String())
	require.NoError(t, json.Unmarshal(result, &what), "%s", out.String())
	return what
}

// TestReceiverAsAnother is the program of startAs.
func TestReceiverAsAnother(t *testing.T) {
	task := os.Getenv(asAnother)
	if task == "" {
		return // nobody asked
	}
	var seen seenBy
	require.NoError(t, json.Unmarshal([]byte(task), &seen))
	r := harness.New(t, fmt.Sprintf(`
endpoints: [%s]
watch: {enabled: false}
ebpf: {mode: %s, events: {mode: all}, processes: {pids: [%d], rescan: 100ms}}
`, seen.Endpoint, seen.Mode, seen.PID), true, false)
	if err := r.TryStart(); err != nil {
		seen.Failure = err.Error()
	}
	for began := time.Now(); seen.Failure == "" && time.Since(began) < patience; time.Sleep(20 * time.Millisecond) {
		seen.Log, seen.Status = "", ""
		for _, e := range r.Log.All() {
			seen.Log += fmt.Sprintln(e.Message, e.ContextMap())
		}
		for _, e := range r.Status() {
			if e.Status() != componentstatus.StatusOK && e.Err() != nil {
				seen.Status += fmt.Sprintln(e.Err())
			}
		}
		if strings.Contains(seen.Log, "are traced") || strings.Contains(seen.Log, "not traced") && (seen.Mode == "auto" || seen.Status != "") {
			break
		}
	}
	r.Stop(t)
	require.NoError(t, json.NewEncoder(os.NewFile(4, "result")).Encode(seen))
}
