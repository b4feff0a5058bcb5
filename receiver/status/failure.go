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
	"google.golang.org/grpc/codes"

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
func (c *Collector) count(ctx context.Context, a *answered) {
	c.Telemetry.ReceiverEtcdScrapeDuration.Record(ctx, a.took.Seconds())
	for name, err := range a.failed {
		c.Telemetry.ReceiverEtcdScrapeErrors.Add(ctx, 1, metric.WithAttributes(
			attribute.String("call", string(name)), attribute.String("error.type", etcdclient.ErrorType(err))))
	}
	c.tellMember(&a.answer)
	if a.answered() {
		c.tellStatus(a)
		c.tellMetrics(&a.answer)
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

// tellStatus says that Status is denied, and what to do.
func (c *Collector) tellStatus(a *answered) {
	err := a.failed[callStatus]
	if !etcdclient.IsDenied(err) {
		c.told.recovered("denied")
		return
	}
	message := c.denial(a)
	if a.header == nil { // not even the member list was answered
		c.failure = fmt.Errorf("%s: %s", a.endpoint, message)
	}
	c.told.warn("denied", message, message, zap.Error(err))
}

// denial names the grant that is missing, and what is read instead. On etcd
// 3.4.45 and 3.6.0 to 3.6.8 Status needs the role root (measured on 15 releases).
func (c *Collector) denial(a *answered) string {
	version := a.metrics.label(familyVersion, "server_version")
	username := c.Cluster.Username()
	var why string
	switch {
	case username == "":
		why = fmt.Sprintf("etcd %s has auth on and no user is configured: set username and password", version)
	case etcdclient.ErrorType(a.failed[callStatus]) == codes.PermissionDenied.String():
		why = fmt.Sprintf("etcd user %q may not call Status on etcd %s (needs the role root there)", username, version)
	default:
		why = fmt.Sprintf("etcd %s does not let user %q in: check username and password", version, username)
	}
	switch {
	case a.by.memberID == 0:
		return why + "; until then it does not even tell which member it is"
	case a.metrics != nil:
		return why + "; reading /metrics instead"
	default:
		return why + "; nothing else answers: switch status.prometheus on"
	}
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
