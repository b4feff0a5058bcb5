// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"fmt"
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
	// Metrics and Logs take what was collected; nil where nobody wants it. They
	// must not block for long: Run waits for them.
	Metrics   func(context.Context, pmetric.Metrics)
	Logs      func(context.Context, plog.Logs)
	Telemetry *metadata.TelemetryBuilder
	// Report tells whether any member answers: nil, or why none does.
	Report func(error)
	Logger *zap.Logger

	recorder recorder
	targets  []*target
	answers  chan answered
	view     view
	before   view // as the last events left it
	// collected are the members whose answer has not left yet.
	collected map[*member]bool
	inFlight  int
	failure   error // why the last silent member told nothing
	told      teller
}

// target is an endpoint that is asked.
type target struct {
	conn *etcdclient.Conn
	// seed is one of the user's endpoints, else the member list named it.
	seed bool
	// memberID is who listens there; 0 until it has answered once.
	memberID uint64
	inFlight bool
}

type answered struct {
	by *target
	answer
}

// stragglers is how long a collection waits for all members before it lets go
// what it has; half of the interval, if that is shorter. A healthy member on a LAN
// answers in a few milliseconds.
const stragglers = 500 * time.Millisecond

// Run collects until ctx ends. It returns when all its goroutines have ended.
func (c *Collector) Run(ctx context.Context) {
	c.recorder = recorder{builder: c.Builder, resource: c.Resource, histograms: c.Histograms, starts: startTimes{}}
	c.answers = make(chan answered)
	c.view = view{members: map[uint64]*member{}}
	c.before = c.view.copy()
	c.collected = map[*member]bool{}
	c.told = teller{logger: c.Logger, last: map[string]string{}}

	tick := time.NewTimer(c.InitialDelay)
	defer tick.Stop()
	late := time.NewTimer(time.Hour)
	defer late.Stop()
	for {
		select {
		case <-ctx.Done():
			for ; c.inFlight > 0; c.inFlight-- {
				<-c.answers // their contexts have ended too
			}
			return
		case <-tick.C:
			tick.Reset(c.Interval)
			late.Reset(min(stragglers, c.Interval/2))
			c.begin(ctx)
		case a := <-c.answers:
			c.take(ctx, a)
			if c.inFlight == 0 && !c.discover(ctx) {
				c.emit(ctx)
			}
		case <-late.C:
			if len(c.collected) > 0 && !c.discover(ctx) {
				c.emit(ctx)
			}
		}
	}
}

// begin asks every target that is not still being asked.
func (c *Collector) begin(ctx context.Context) {
	if c.view.list == nil {
		c.seed(ctx)
	}
	for _, t := range c.targets {
		c.ask(ctx, t)
	}
}

// seed takes the endpoints that were configured or found. It is repeated until a
// member has answered, since what is found on a host can change.
func (c *Collector) seed(ctx context.Context) {
	found, err := c.Cluster.Resolve(ctx)
	if err != nil {
		c.told.warn("etcd", err.Error(), "cannot connect to etcd", zap.Error(err))
		c.Report(err)
		return
	}
	c.told.info("target", fmt.Sprint(found.Endpoints, found.Why), "using etcd", zap.Stringers("endpoints", found.Endpoints), zap.String("why", found.Why), zap.Bool("tls", found.TLS != nil))
	for _, conn := range c.Cluster.Seeds() {
		if c.target(conn.Endpoint()) == nil {
			c.targets = append(c.targets, &target{conn: conn, seed: true})
		}
	}
}

func (c *Collector) target(e etcdclient.Endpoint) *target {
	for _, t := range c.targets {
		if t.conn.Endpoint() == e {
			return t
		}
	}
	return nil
}

func (c *Collector) ask(ctx context.Context, t *target) {
	if t.inFlight {
		return
	}
	t.inFlight = true
	c.inFlight++
	go func() { // ends with its calls' deadlines; Run takes its answer also when it ends
		c.answers <- answered{t, ask(ctx, t.conn, c.Timeout, c.ReadMetrics)}
	}()
}

// take puts an answer into the view.
func (c *Collector) take(ctx context.Context, a answered) {
	a.by.inFlight = false
	c.inFlight--
	if ctx.Err() != nil {
		return
	}
	if a.header != nil {
		c.identify(a.by, a.header.ClusterId, a.header.MemberId)
	}
	c.count(ctx, &a)
	if a.by.memberID == 0 {
		return // an endpoint that never told: nobody knows whose it is
	}
	m := c.view.members[a.by.memberID]
	if m == nil {
		m = &member{id: a.by.memberID}
		c.view.members[m.id] = m
	}
	m.update(&a.answer)
	c.collected[m] = true
}

// identify notes who listens at a target. Two targets of one member are one too
// many: the user's own is kept.
func (c *Collector) identify(t *target, clusterID, memberID uint64) {
	if c.view.clusterID != clusterID {
		if c.view.clusterID != 0 {
			c.Logger.Warn("another cluster answers", zap.String("before", resource.ID(c.view.clusterID)), zap.String("now", resource.ID(clusterID)))
		}
		c.view = view{clusterID: clusterID, members: map[uint64]*member{}}
		c.before = c.view.copy()
		clear(c.collected)
	}
	t.memberID = memberID
	for _, other := range c.targets {
		switch {
		case other == t || other.memberID != memberID:
		case !other.seed && !other.inFlight:
			c.drop(other)
			return
		case !t.seed:
			c.drop(t)
			return
		}
	}
}

func (c *Collector) drop(t *target) {
	c.Cluster.Forget(t.conn.Endpoint())
	c.targets = slices.DeleteFunc(slices.Clone(c.targets), func(other *target) bool { return other == t })
}

// discover asks members that the list names and that have no target yet. It tells
// whether there were any: then their answers are worth waiting for.
func (c *Collector) discover(ctx context.Context) bool {
	c.view.settle()
	c.Cluster.Learn(c.view.list)
	c.forget()
	if !c.Discover {
		return false
	}
	asked := false
	for _, l := range c.view.list {
		if c.asks(l.ID) {
			continue
		}
		e, ok := c.Cluster.EndpointOf(l)
		if !ok {
			c.unstarted(l.ID, l.Name)
			continue
		}
		t := c.target(e)
		if t == nil {
			t = &target{conn: c.Cluster.Conn(e)}
			c.targets = append(c.targets, t)
		}
		t.memberID = l.ID
		c.ask(ctx, t)
		asked = true
	}
	return asked
}

func (c *Collector) asks(memberID uint64) bool {
	for _, t := range c.targets {
		if t.memberID == memberID {
			return true
		}
	}
	return false
}

// unstarted is a member that was added and has not started: it counts for the
// quorum, and answers nobody.
func (c *Collector) unstarted(id uint64, name string) {
	m := c.view.members[id]
	if m == nil {
		m = &member{id: id, name: name}
		c.view.members[id] = m
	}
	m.lose(time.Now(), "not_started")
	c.collected[m] = true
}

// forget drops the targets of members that left the list.
func (c *Collector) forget() {
	if c.view.list == nil {
		return
	}
	listed := byID(c.view.list)
	for _, t := range c.targets {
		if t.memberID != 0 && listed[t.memberID] == nil && !t.seed && !t.inFlight {
			c.drop(t)
		}
	}
}

// emit lets go what was collected.
func (c *Collector) emit(ctx context.Context) {
	c.report()
	if c.view.clusterID == 0 {
		return
	}
	members := c.ready()
	clear(c.collected)
	if c.Metrics != nil {
		c.emitMetrics(ctx, members)
	}
	if c.Logs != nil {
		c.emitEvents(ctx, members)
	}
}

// ready are the members whose answers have not left yet, without those that left
// the cluster meanwhile.
func (c *Collector) ready() []*member {
	var out []*member
	for _, m := range c.view.sorted() {
		if c.collected[m] {
			out = append(out, m)
		}
	}
	return out
}

func (c *Collector) emitMetrics(ctx context.Context, members []*member) {
	metrics := pmetric.NewMetrics()
	for _, m := range members {
		c.recorder.member(&c.view, m).ResourceMetrics().MoveAndAppendTo(metrics.ResourceMetrics())
	}
	c.recorder.cluster(&c.view, pcommon.NewTimestampFromTime(time.Now())).ResourceMetrics().MoveAndAppendTo(metrics.ResourceMetrics())
	if metrics.ResourceMetrics().Len() > 0 {
		c.Metrics(ctx, metrics)
	}
}

func (c *Collector) emitEvents(ctx context.Context, members []*member) {
	batch := c.Format.NewBatch(c.Resource.Cluster(c.view.clusterID), time.Now(), 4)
	compare(&c.before, &c.view, batch)
	statuses(members, batch)
	c.before = c.view.copy()
	if batch.Len() == 0 {
		return
	}
	c.Telemetry.ReceiverEtcdEventsReceived.Add(ctx, int64(batch.Len()), sourceStatus)
	c.Logs(ctx, batch.Logs())
}

var sourceStatus = metric.WithAttributeSet(attribute.NewSet(attribute.String("source", "status")))
