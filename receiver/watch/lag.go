// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// lag is how far a stream is behind the store.
type lag struct {
	store int64 // the highest revision that a member has told
	read  int64 // up to here the stream is read, by a progress answer that may be believed for this
	// since is when the stream was last there; nil: it is there.
	since atomic.Pointer[time.Time]
}

// tip notes the revision of a member's store.
func (l *lag) tip(revision int64) { l.store = max(l.store, revision) }

// reached notes that the stream is read up to a revision.
func (l *lag) reached(revision int64) { l.read = max(l.read, revision) }

// behind notes that something is not delivered yet.
func (l *lag) behind(now time.Time) { l.since.CompareAndSwap(nil, &now) }

// moved saves and tells the position.
func (f *follower) moved(ctx context.Context) {
	f.planned = false
	f.save(ctx)
	f.Telemetry.ReceiverEtcdWatchRevision.Record(ctx, f.next-1, f.ofPrefix)
	f.tellLag(ctx)
	f.tellHeld(ctx)
}

func (f *follower) tellLag(ctx context.Context) {
	behind := max(0, f.lag.store-max(f.next-1, f.lag.read))
	if behind == 0 {
		f.lag.since.Store(nil)
	} else {
		f.lag.behind(time.Now())
	}
	f.Telemetry.ReceiverEtcdWatchLag.Record(ctx, behind, f.ofPrefix)
}

// lagInterval is how often the time that a stream is behind is told: also while
// its goroutine waits for a pipeline that blocks.
const lagInterval = 2 * time.Second

func (f *follower) tellLagTime(ctx context.Context) {
	for ctx.Err() == nil {
		var behind time.Duration
		if since := f.lag.since.Load(); since != nil {
			behind = time.Since(*since)
		}
		f.Telemetry.ReceiverEtcdWatchLagTime.Record(ctx, behind.Seconds(), f.ofPrefix)
		sleep(ctx, lagInterval)
	}
}

func (f *follower) tellHeld(ctx context.Context) {
	f.Telemetry.ReceiverEtcdWatchHeld.Record(ctx, f.held.Load(), f.ofPrefix)
}

func (f *follower) tellCatchUp(ctx context.Context, on int64) {
	f.Telemetry.ReceiverEtcdWatchCatchUp.Record(ctx, on, f.ofPrefix)
}

var sourceWatch = attributeSet("source", "watch")

// attributeSet makes the set that measurements share, so that each does not make its own.
func attributeSet(key, value string) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attribute.String(key, value)))
}
