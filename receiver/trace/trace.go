// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
	"github.com/etcdreceiver/etcdreceiver/internal/join"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// Mode says which requests become log records. Metrics are of all.
type Mode string

// The modes. What fails is a record in all but ModeNone.
const (
	ModeNone   Mode = "none"
	ModeSlow   Mode = "slow"   // what takes Settings.SlowRequest
	ModeWrites Mode = "writes" // what may change something, the download of a snapshot, and what is slow
	ModeAll    Mode = "all"    // and reads, of those that are fast Settings.Sample, and streams
)

// Settings are what the user configured.
type Settings struct {
	Mode        Mode
	Operations  []string      // families that become records; empty: all
	Exclude     []string      // prefixes of keys that neither records nor metrics show
	SlowRequest time.Duration // > 0
	Sample      float64       // part of the fast reads under ModeAll, 0 to 1; streams only at 1
	MaxRecords  int           // of requests in a second, and as many that failed; 0: no limit
	Top         int           // clients, users and key prefixes that are counted by name; 0: none
	Disk        bool          // syncs of etcd's files too
	SlowSync    time.Duration // > 0
	Network     bool          // TCP connections too
	RingBytes   int           // a power of two
	Rescan      time.Duration // how often processes are looked for
	Interval    time.Duration // of metrics
	Names       []string      // base names of executables; empty: etcd
	Paths       []string      // executables that have etcd in them
	PIDs        []int         // only these; empty: all

	DropCapabilities bool // see privilege.Drop

	// For tests:
	ProcRoot                string // "/proc" if empty
	PerfUprobes, PerfBuffer bool   // see bpf.Options
}

// The stages at which something can be lost, of Tracer.Lost.
const (
	LostRing   = "ring_buffer"
	LostQueue  = "queue"
	LostDecode = "decode"
	LostRate   = "rate_limit" // more than Settings.MaxRecords
)

// Tracer reads from the kernel what the etcd servers of this host do.
type Tracer struct {
	Settings
	Cluster  *etcdclient.Cluster // for the self-check
	Format   *logrecord.Format
	Resource *resource.Builder
	Builder  *metadata.MetricsBuilder // of what metadata.yaml declares; nil: only histograms
	Logger   *zap.Logger

	// Logs delivers records, waiting as long as the pipeline refuses them; nil
	// without a logs pipeline. Metrics offers metrics once, nil likewise. Each is
	// called by a goroutine of its own, which ends with Run.
	Logs    func(context.Context, plog.Logs) error
	Metrics func(context.Context, pmetric.Metrics)
	// Window takes what ties requests to the changes they made; nil: nobody asks.
	Window *join.Window
	// Lost counts what was lost at a stage.
	Lost func(stage string, n int64)
	// Missed counts how often the kernel left out a program on a tracepoint.
	Missed func(n int64)
	// Report tells how a process fares: an error while it cannot be traced, nil when
	// it is, or is gone. Of pid 0: that none is seen, until one is.
	Report func(pid int, err error)

	// Set by Open:
	run     func(ctx context.Context, probesOut func())
	deliver []func(context.Context) // each in a goroutine of its own
	close   func() error
}
