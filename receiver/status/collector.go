// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// Settings are what the user says about the status of members.
type Settings struct {
	// Interval between collections, and the delay of the first one.
	Interval, InitialDelay time.Duration
	// Timeout of one call to one member.
	Timeout time.Duration
	// Discover asks the members that the cluster lists too.
	Discover bool
	// ReadMetrics asks each member for its /metrics; RequireMetrics makes it an
	// error if that does not answer.
	ReadMetrics, RequireMetrics bool
	Histograms                  bool
}

// Collector asks the members of one cluster, again and again.
type Collector struct {
	Settings
	Cluster  *etcdclient.Cluster
	Resource *resource.Builder
	Builder  *metadata.MetricsBuilder
	Format   *logrecord.Format
	// Metrics and Logs take what was collected; nil where nobody wants it. The
	// context of Metrics ends after an interval, so that a pipeline that blocks does
	// not stop the events. Logs must not block.
	Metrics   func(context.Context, pmetric.Metrics)
	Logs      func(context.Context, plog.Logs)
	Telemetry *metadata.TelemetryBuilder
	// Report tells whether any member answers: nil, or why none does.
	Report func(error)
	Logger *zap.Logger
}

// Run collects until ctx ends. It returns when all its goroutines have ended.
func (c *Collector) Run(ctx context.Context) {
	r := run{
		Collector: c,
		recorder:  recorder{builder: c.Builder, resource: c.Resource, histograms: c.Histograms, starts: startTimes{}},
		arrived:   make(chan answered),
		view:      view{members: map[uint64]*member{}},
		collected: map[*member]bool{},
		tried:     map[uint64]bool{},
		told:      teller{logger: c.Logger, causes: map[string]map[string]bool{}},
	}
	r.loop(ctx)
}

// run is the state of one Run. It belongs to one goroutine.
type run struct {
	*Collector
	recorder recorder
	view     view
	before   view // as the last events left it
	// collected are the members whose answer has not left yet.
	collected map[*member]bool

	targets  []*target
	tried    map[uint64]bool // members that discover has looked at since the tick
	arrived  chan answered
	inFlight int

	failure   error // why the last silent member told nothing
	untrusted bool  // a certificate was refused since the tick
	told      teller
}

type answered struct {
	by *target
	answer
}

// stragglers is how long a collection waits for all members before it lets go
// what it has; half of the interval, if that is shorter. A healthy member on a LAN
// answers in a few milliseconds.
const stragglers = 500 * time.Millisecond

func (r *run) loop(ctx context.Context) {
	tick := time.NewTimer(r.InitialDelay)
	defer tick.Stop()
	late := time.NewTimer(time.Hour)
	defer late.Stop()
	overdue := false // what comes now leaves at once
	for {
		select {
		case <-ctx.Done():
			for ; r.inFlight > 0; r.inFlight-- {
				<-r.arrived // their contexts have ended too
			}
			return
		case <-tick.C:
			tick.Reset(r.Interval)
			late.Reset(min(stragglers, r.Interval/2))
			overdue = false
			r.begin(ctx)
			continue
		case <-late.C:
			overdue = true
		case a := <-r.arrived:
			r.take(ctx, a)
		}
		if (r.inFlight == 0 || overdue) && !r.discover(ctx) {
			r.emit(ctx)
		}
	}
}

// begin asks every target that is not still being asked.
func (r *run) begin(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	clear(r.tried)
	switch {
	case !r.answers():
		r.seed(ctx)
	case r.untrusted: // the file of the authorities may be another one by now
		_, _ = r.Cluster.Resolve(ctx)
	}
	r.untrusted = false
	for _, t := range r.targets {
		r.ask(ctx, t)
	}
}

func (r *run) ask(ctx context.Context, t *target) {
	if t.inFlight {
		return
	}
	t.inFlight = true
	r.inFlight++
	// /metrics is the dearest call, and stands in where Status is denied.
	withMetrics := r.ReadMetrics && (r.Metrics != nil || t.denied)
	go func() { // ends with its calls' deadlines; loop takes its answer also when it ends
		r.arrived <- answered{t, ask(ctx, t.conn, r.Timeout, withMetrics)}
	}()
}

// answers tells whether any member answered when it was asked last.
func (r *run) answers() bool {
	for _, m := range r.view.members {
		if m.reachable() {
			return true
		}
	}
	return false
}

// take puts an answer into the view.
func (r *run) take(ctx context.Context, a answered) {
	a.by.inFlight = false
	r.inFlight--
	if ctx.Err() != nil {
		return
	}
	a.by.denied = etcdclient.IsDenied(a.failed[callStatus])
	if a.header != nil {
		r.identify(a.by, a.header.ClusterId, a.header.MemberId)
	}
	r.count(ctx, &a)
	if a.by.memberID == 0 || !slices.Contains(r.targets, a.by) {
		return // nobody knows whose it is, or the member is asked elsewhere
	}
	m := r.member(a.by.memberID)
	m.update(&a.answer)
	r.collected[m] = true
}

// member gives the member of the view, a new one if it is new.
func (r *run) member(id uint64) *member {
	m := r.view.members[id]
	if m == nil {
		m = &member{id: id}
		r.view.members[id] = m
	}
	return m
}

// emit lets go what was collected.
func (r *run) emit(ctx context.Context) {
	r.report()
	members := r.ready()
	clear(r.collected)
	if len(members) == 0 {
		return
	}
	if r.Metrics != nil {
		r.emitMetrics(ctx, members)
	}
	if r.Logs != nil {
		r.emitEvents(ctx, members)
	}
}

// ready are the members whose answers have not left yet, without those that left
// the cluster meanwhile.
func (r *run) ready() []*member {
	var out []*member
	for _, m := range r.view.sorted() {
		if r.collected[m] {
			out = append(out, m)
		}
	}
	return out
}

func (r *run) emitMetrics(ctx context.Context, members []*member) {
	metrics := pmetric.NewMetrics()
	for _, m := range members {
		r.recorder.member(&r.view, m).ResourceMetrics().MoveAndAppendTo(metrics.ResourceMetrics())
	}
	r.recorder.cluster(&r.view, pcommon.NewTimestampFromTime(time.Now())).ResourceMetrics().MoveAndAppendTo(metrics.ResourceMetrics())
	if metrics.ResourceMetrics().Len() == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, r.Interval)
	defer cancel()
	r.Metrics(ctx, metrics)
}

func (r *run) emitEvents(ctx context.Context, members []*member) {
	r.view.remember(&r.before)
	batch := r.Format.NewBatch(r.Resource.Cluster(r.view.clusterID), time.Now(), 4)
	compare(&r.before, &r.view, batch)
	statuses(members, batch)
	r.before = r.view.copy()
	if batch.Len() == 0 {
		return
	}
	r.Telemetry.ReceiverEtcdEventsReceived.Add(ctx, int64(batch.Len()), sourceStatus)
	r.Logs(ctx, batch.Logs())
}

var sourceStatus = metric.WithAttributeSet(attribute.NewSet(attribute.String("source", "status")))
