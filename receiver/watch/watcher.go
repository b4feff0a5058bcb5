// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/internal/checkpoint"
	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
	"github.com/etcdreceiver/etcdreceiver/internal/join"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// Settings are what the user says about the change stream.
type Settings struct {
	Prefixes []string
	// Exclude are prefixes whose changes are left out.
	Exclude []string
	// PrevKV asks etcd for the previous value of each change.
	PrevKV bool
	Batch  Bounds
	// Start is where a prefix begins.
	Start Start
	// StartRevision is the first revision to deliver, with StartRevision.
	StartRevision int64
	// InitialSnapshot tells every existing key before the first change, where no
	// position is stored.
	InitialSnapshot bool
	// OnCompaction is what follows the record of a gap.
	OnCompaction OnCompaction
	// StopWhenRefused ends the stream where the pipeline refuses for good; else that
	// is a gap, and the stream goes on.
	StopWhenRefused bool
	// Heartbeat is how often a silent stream is looked after; see the constant.
	Heartbeat time.Duration
	// PermissionCheck is how often an open watch is asked for again; see the constant.
	PermissionCheck time.Duration
	// Stall is how long the pipeline may block before the watch is given back; see the
	// constant.
	Stall time.Duration
	// Local leaves out what the raft log says another member has served.
	Local bool
	// UnnamedEvery bounds how often changes without an author are told; see the constant.
	UnnamedEvery time.Duration
	// Interval of metrics.
	Interval time.Duration
}

// Start says where a prefix begins.
type Start string

// Where a prefix begins: at the stored position if there is one and else at the
// present; always at the present; at the stored position and else at StartRevision.
const (
	AtResume   Start = "resume"
	AtLatest   Start = "latest"
	AtRevision Start = "revision"
)

// OnCompaction says what follows the record of a gap.
type OnCompaction string

// After a gap: the existing keys that changed in it; all existing keys; nothing.
const (
	Resync   OnCompaction = "resync"
	Snapshot OnCompaction = "snapshot"
	Skip     OnCompaction = "skip"
)

// Deliver hands records to the pipeline and returns when it has accepted them,
// as delivery.Deliverer does.
type Deliver func(context.Context, plog.Logs) error

// Watcher follows the prefixes of one cluster.
type Watcher struct {
	Settings
	Cluster   *etcdclient.Cluster
	Format    *logrecord.Format
	Resource  *resource.Builder
	Deliver   Deliver
	Telemetry *metadata.TelemetryBuilder
	// Window has what was traced of the writes; nil: nobody looks for authors.
	Window *join.Window
	// Metrics offers metrics once, nil where nobody wants them; Builder makes them.
	Metrics func(context.Context, pmetric.Metrics)
	Builder *metadata.MetricsBuilder
	// Checkpoint keeps the positions; nil: they live as long as the Watcher.
	Checkpoint *checkpoint.Store
	// Report tells the state of a prefix's stream: nil when it is open, else why it
	// is not. ErrStopped is for good.
	Report func(prefix string, err error)
	Logger *zap.Logger

	coverage coverage
}

// ErrStopped ends a stream for good.
var ErrStopped = errors.New("the watch has stopped: the pipeline refused changes for good and on_permanent_error is stop; a restart offers them again")

// Run follows until ctx ends. It returns when all goroutines have ended.
func (w *Watcher) Run(ctx context.Context) {
	var followers []*follower
	for _, prefix := range w.Prefixes {
		followers = append(followers, w.newFollower(prefix)) // all are loaded before one is saved
	}
	var group sync.WaitGroup
	for _, f := range followers {
		group.Go(func() { f.run(ctx) })
		group.Go(func() { f.tellLagTime(ctx) })
	}
	if w.Window == nil || w.Metrics == nil {
		group.Wait()
		return
	}
	group.Go(func() { w.tellCoverage(ctx) })
	group.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
	defer cancel()
	w.emitCoverage(last, time.Now())
}

// follower is the state of one prefix that outlives its streams. It belongs to
// one goroutine.
type follower struct {
	*Watcher
	prefix string
	position
	resource   pcommon.Resource // of the cluster
	lag        lag
	held       atomic.Int64     // bytes of responses that were read and are not freed
	cutting    cutting          // of responses. See fragments.go.
	narrowness int              // divides the width of a catch-up. See catchup.go.
	stay       *etcdclient.Conn // of the next session, if it must not be another
	warned     string           // version of etcd that was warned of
	seen       map[uint64]bool
	unnamed    unnamed
	ofPrefix   metric.MeasurementOption // the attribute of its telemetry
}

func (w *Watcher) newFollower(prefix string) *follower {
	f := &follower{Watcher: w, prefix: prefix, narrowness: 1, seen: map[uint64]bool{}, ofPrefix: attributeSet("prefix", prefix)}
	f.restore()
	return f
}

// run opens session after session.
func (f *follower) run(ctx context.Context) {
	retry := newBackOff()
	told := map[string]bool{} // causes that were logged since the stream was last open
	for ctx.Err() == nil {
		err := f.session(ctx, func(conn *etcdclient.Conn) {
			retry.Reset()
			clear(told)
			f.Report(f.prefix, nil)
			f.Logger.Info("watching", zap.Stringer("endpoint", conn.Endpoint()), zap.String("prefix", f.prefix), zap.Int64("from_revision", f.next))
		})
		switch {
		case ctx.Err() != nil, errors.Is(err, errReopen):
			continue
		case errors.Is(err, ErrStopped):
			f.Report(f.prefix, err)
			f.Logger.Error("the watch has stopped", zap.String("prefix", f.prefix), zap.Int64("from_revision", f.next), zap.Error(err))
			return
		}
		f.Telemetry.ReceiverEtcdWatchRestarts.Add(ctx, 1)
		if cause := etcdclient.ErrorType(err); !told[cause] {
			told[cause] = true
			f.Report(f.prefix, err)
			f.Logger.Warn("the watch ended; it is opened again from the last delivered revision", zap.String("prefix", f.prefix), zap.Int64("from_revision", f.next), zap.Error(err))
		}
		sleep(ctx, retry.NextBackOff())
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
