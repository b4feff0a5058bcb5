// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
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
	// Heartbeat is how often a silent stream is looked after; see the constant.
	Heartbeat time.Duration
}

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
	// Report tells the state of a prefix's stream: nil when it is open, else why it
	// is not.
	Report func(prefix string, err error)
	Logger *zap.Logger
}

// Run follows until ctx ends. It returns when all goroutines have ended.
func (w *Watcher) Run(ctx context.Context) {
	var group sync.WaitGroup
	for _, prefix := range w.Prefixes {
		group.Go(func() { w.follow(ctx, prefix) })
	}
	group.Wait()
}

// follow opens stream after stream for one prefix.
func (w *Watcher) follow(ctx context.Context, prefix string) {
	f := &follower{Watcher: w, prefix: prefix}
	retry := newBackOff()
	told := map[string]bool{} // causes that were logged since the stream was last open
	for ctx.Err() == nil {
		err := f.session(ctx, func(conn *etcdclient.Conn, from int64) {
			retry.Reset()
			clear(told)
			w.Report(prefix, nil)
			w.Logger.Info("watching", zap.Stringer("endpoint", conn.Endpoint()), zap.String("prefix", prefix), zap.Int64("from_revision", from))
		})
		if ctx.Err() != nil || errors.Is(err, errReopen) {
			continue
		}
		w.Telemetry.ReceiverEtcdWatchRestarts.Add(ctx, 1)
		if cause := etcdclient.ErrorType(err); !told[cause] {
			told[cause] = true
			w.Report(prefix, err)
			w.Logger.Warn("the watch ended; it is opened again from the last delivered revision", zap.String("prefix", prefix), zap.Int64("from_revision", f.next), zap.Error(err))
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
