// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// lag is how far a stream is behind the store.
type lag struct {
	store int64     // the highest revision that a member has told
	since time.Time // when the stream was last known to be there
}

// tip notes the revision of a member's store.
func (l *lag) tip(revision int64) { l.store = max(l.store, revision) }

// moved saves and tells the position.
func (f *follower) moved(ctx context.Context) {
	f.save(ctx)
	f.Telemetry.ReceiverEtcdWatchRevision.Record(ctx, f.next-1, f.attrs.prefix)
	f.tellLag(ctx)
	f.tellHeld(ctx)
}

func (f *follower) tellLag(ctx context.Context) {
	behind, now := max(0, f.lag.store-f.next+1), time.Now()
	if behind == 0 || f.lag.since.IsZero() {
		f.lag.since = now
	}
	f.Telemetry.ReceiverEtcdWatchLag.Record(ctx, behind, f.attrs.prefix)
	f.Telemetry.ReceiverEtcdWatchLagTime.Record(ctx, now.Sub(f.lag.since).Seconds(), f.attrs.prefix)
}

func (f *follower) tellHeld(ctx context.Context) {
	f.Telemetry.ReceiverEtcdWatchHeld.Record(ctx, f.held.Load(), f.attrs.prefix)
}

func (f *follower) tellCatchUp(ctx context.Context, on int64) {
	f.Telemetry.ReceiverEtcdWatchCatchUp.Record(ctx, on, f.attrs.prefix)
}

// attributes are the attribute sets of a prefix's own telemetry, made once.
type attributes struct{ prefix metric.MeasurementOption }

func newAttributes(prefix string) attributes {
	return attributes{metric.WithAttributeSet(attribute.NewSet(attribute.String("prefix", prefix)))}
}

var (
	sourceWatch  = metric.WithAttributeSet(attribute.NewSet(attribute.String("source", "watch")))
	stageRefused = metric.WithAttributeSet(attribute.NewSet(attribute.String("stage", "refused")))
)
