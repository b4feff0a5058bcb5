// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/internal/discovery"
)

func TestAnExecutableThatCouldNotBeOpenedIsTriedAgain(t *testing.T) {
	proc := t.TempDir()
	var reports []error
	tr := &tracer{
		Tracer: &Tracer{
			Settings: Settings{ProcRoot: proc}, Logger: zap.NewNop(),
			Report: func(_ int, err error) { reports = append(reports, err) },
		},
		executables: map[identity]*found{}, processes: map[int]*process{},
	}
	p := &process{Process: discovery.Process{PID: 7}}
	tr.add(p)

	require.NoError(t, os.Mkdir(filepath.Join(proc, "7"), 0o700))
	require.NoError(t, os.WriteFile(executablePath(proc, 7), []byte("no executable"), 0o600))
	p.next = time.Time{} // the pause is over
	tr.resume(t.Context(), p)
	require.Len(t, reports, 2)
	assert.ErrorIs(t, reports[0], fs.ErrNotExist)
	assert.ErrorIs(t, reports[1], tr.executables[fileID(t, proc, 7)].err)
}

func fileID(t *testing.T, proc string, pid int) identity {
	file, id, err := openExecutable(proc, pid)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	return id
}

func TestWhatAProcessCountedIsToldOnceAfterItsEnd(t *testing.T) {
	tr := loaded(t)
	tr.Metrics = func(context.Context, pmetric.Metrics) {}
	p := verified(7)
	tr.processes[7] = p
	tr.forget(p)
	require.Empty(t, tr.processes)

	tr.tell(time.Now())
	require.Len(t, tr.metrics, 1)
	assert.Equal(t, uint64(3), failures(<-tr.metrics))
	tr.tell(time.Now())
	assert.Empty(t, tr.metrics)
}

// verified is a process with three requests that failed.
func verified(pid int) *process {
	return &process{
		Process: discovery.Process{PID: pid}, executable: &executable{}, verified: true, since: time.Now().Add(-time.Second),
		failures: map[outcome]*durations{{1, "UNAVAILABLE"}: {count: [len(durations{}.count)]uint64{3}}},
	}
}

// failures is how many requests metrics say that failed.
func failures(metrics pmetric.Metrics) (n uint64) {
	for _, rm := range metrics.ResourceMetrics().All() {
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			if m.Name() != "etcd.request.duration" {
				continue
			}
			for _, dp := range m.Histogram().DataPoints().All() {
				if dp.Attributes().AsRaw()["error.type"] == "UNAVAILABLE" {
					n += dp.Count()
				}
			}
		}
	}
	return n
}
