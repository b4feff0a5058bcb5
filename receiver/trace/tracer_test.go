// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// loaded is a tracer whose programs are in the kernel and see no process.
func loaded(t *testing.T) *tracer {
	programs, err := bpf.Load(bpf.Options{RingBytes: 64 << 10})
	if errors.Is(err, fs.ErrPermission) && os.Getenv("CI") == "" { // which must skip nothing
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, programs.Close()) })
	tr := &tracer{
		Tracer: &Tracer{
			Format: &logrecord.Format{}, Resource: &resource.Builder{}, Logger: zap.NewNop(),
			Lost: func(string, int64) {}, Missed: func(int64) {}, Report: func(int, error) {},
		},
		programs: programs, processes: map[int]*process{}, checking: map[int]*check{},
		metrics: make(chan pmetric.Metrics, 1), gone: pmetric.NewMetrics(),
	}
	tr.assembler = newAssembler(tr.finished)
	return tr
}

func TestADrainEndsWhileRecordsComeAsFastAsTheyAreRead(t *testing.T) {
	tr := loaded(t)
	lifecycle, err := tr.programs.FollowLifecycle()
	require.NoError(t, err)
	defer func() { require.NoError(t, lifecycle.Close()) }()
	begin := func() { require.NoError(t, exec.Command("true").Run()) } // a record of its begin
	const most = 1000
	begin()
	read := 0
	require.NoError(t, tr.programs.Drain(func([]byte) {
		if read++; read < most {
			begin()
		}
	}))
	assert.NotZero(t, read)
	assert.Less(t, read, most)
}

func TestTheLastMetricsAreOfferedAfterThoseThatWait(t *testing.T) {
	tr := loaded(t)
	tr.Metrics = func(context.Context, pmetric.Metrics) {}
	p := verified(7)
	tr.processes[7] = p
	tr.tell(time.Now())
	for _, d := range p.failures {
		d.count[0]++ // after the last collection interval
	}
	go tr.end(func() {})
	assert.Equal(t, uint64(3), failures(<-tr.metrics))
	assert.Equal(t, uint64(4), failures(<-tr.metrics))
	_, more := <-tr.metrics
	assert.False(t, more)
}
