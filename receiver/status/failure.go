// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
)

// teller logs changes of state, not states: a cause is told when it differs from
// the one before.
type teller struct {
	logger *zap.Logger
	last   map[string]string
}

func (t *teller) warn(about, cause, message string, fields ...zap.Field) {
	t.tell(zapcore.WarnLevel, about, cause, message, fields)
}

func (t *teller) info(about, cause, message string, fields ...zap.Field) {
	t.tell(zapcore.InfoLevel, about, cause, message, fields)
}

func (t *teller) tell(level zapcore.Level, about, cause, message string, fields []zap.Field) {
	if t.last[about] == cause {
		return
	}
	t.last[about] = cause
	t.logger.Log(level, message, fields...)
}

// recovered tells whether there was a cause, and forgets it.
func (t *teller) recovered(about string) bool {
	_, was := t.last[about]
	delete(t.last, about)
	return was
}

// count counts and tells the failed calls of one answer. A failed call is a part
// that is missing from this collection, and never more than that.
func (c *Collector) count(ctx context.Context, a *answer) {
	c.Telemetry.ReceiverEtcdScrapeDuration.Record(ctx, a.took.Seconds())
	for name, err := range a.failed {
		c.Telemetry.ReceiverEtcdScrapeErrors.Add(ctx, 1, metric.WithAttributes(
			attribute.String("call", string(name)), attribute.String("error.type", etcdclient.ErrorType(err))))
	}
	c.tellMember(a)
	if a.answered() {
		c.tellStatus(a)
		c.tellMetrics(a)
	}
}

func (c *Collector) tellMember(a *answer) {
	about := "member " + a.endpoint.String()
	if a.answered() {
		if c.told.recovered(about) {
			c.Logger.Info("the member answers again", zap.Stringer("endpoint", a.endpoint))
		}
		return
	}
	c.failure = c.explain(a, callStatus)
	c.told.warn(about, etcdclient.ErrorType(c.failure), "the member does not answer", zap.Error(c.failure))
}

// tellStatus names the grant that is missing. On etcd 3.4.45 and 3.6.0 to 3.6.8
// Status needs the role root (measured on 15 releases).
func (c *Collector) tellStatus(a *answer) {
	err := a.failed[callStatus]
	if !etcdclient.IsDenied(err) {
		c.told.recovered("denied")
		return
	}
	instead := "nothing else answers: switch status.prometheus on"
	if a.metrics != nil {
		instead = "reading /metrics instead"
	}
	version := a.metrics.label(familyVersion, "server_version")
	message := fmt.Sprintf("etcd user %q may not call Status on etcd %s (needs the role root there); %s", c.Cluster.Username(), version, instead)
	if c.Cluster.Username() == "" {
		message = fmt.Sprintf("etcd %s has auth on and no user is configured: set username and password; %s", version, instead)
	}
	if a.header == nil { // not even the member list was answered
		c.failure = fmt.Errorf("%s: %s", a.endpoint, message)
	}
	c.told.warn("denied", message, message, zap.Error(err))
}

func (c *Collector) tellMetrics(a *answer) {
	about := "metrics " + a.endpoint.String()
	err := a.failed[callMetrics]
	switch {
	case err == nil:
		if c.told.recovered(about) {
			c.Logger.Info("the member's /metrics answers again", zap.Stringer("endpoint", a.endpoint))
		}
	case c.RequireMetrics:
		c.told.warn(about, etcdclient.ErrorType(err), "the member's /metrics does not answer, and status.prometheus is required", zap.Error(c.explain(a, callMetrics)))
	default:
		c.told.info(about, etcdclient.ErrorType(err), "the member's /metrics does not answer; its metrics are left out", zap.Error(c.explain(a, callMetrics)))
	}
}

func (c *Collector) explain(a *answer, name call) error {
	return etcdclient.Explain(a.failed[name], a.endpoint, c.Cluster.Username())
}

// report tells whether anything is known of the cluster.
func (c *Collector) report() {
	if c.failure == nil {
		c.Report(nil)
		return
	}
	for _, m := range c.view.members {
		if m.reachable() {
			c.Report(nil)
			return
		}
	}
	c.Report(fmt.Errorf("no member of the etcd cluster tells its status: %w", c.failure))
}
