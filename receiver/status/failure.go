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

// teller logs changes of state, not states: each cause is told once until it is
// over.
type teller struct {
	logger *zap.Logger
	causes map[string]map[string]bool // by what they are about
}

func (t *teller) warn(about, cause, message string, fields ...zap.Field) {
	t.tell(zapcore.WarnLevel, about, cause, message, fields)
}

func (t *teller) info(about, cause, message string, fields ...zap.Field) {
	t.tell(zapcore.InfoLevel, about, cause, message, fields)
}

func (t *teller) tell(level zapcore.Level, about, cause, message string, fields []zap.Field) {
	if t.causes[about][cause] {
		return
	}
	if t.causes[about] == nil {
		t.causes[about] = map[string]bool{}
	}
	t.causes[about][cause] = true
	t.logger.Log(level, message, fields...)
}

// recovered tells whether there was a cause, and forgets all of them.
func (t *teller) recovered(about string) bool {
	_, was := t.causes[about]
	delete(t.causes, about)
	return was
}

// count counts and tells the failed calls of one answer. A failed call is a part
// that is missing from this collection, and never more than that.
func (r *run) count(ctx context.Context, a *answered) {
	r.Telemetry.ReceiverEtcdScrapeDuration.Record(ctx, a.took.Seconds())
	for name, err := range a.failed {
		r.untrusted = r.untrusted || etcdclient.IsUntrusted(err)
		r.Telemetry.ReceiverEtcdScrapeErrors.Add(ctx, 1, metric.WithAttributes(
			attribute.String("call", string(name)), attribute.String("error.type", etcdclient.ErrorType(err))))
	}
	r.tellMember(&a.answer)
	if a.answered() {
		r.tellStatus(a)
		r.tellMetrics(&a.answer)
	}
}

func (r *run) tellMember(a *answer) {
	about := "member " + a.endpoint.String()
	if a.answered() {
		if r.told.recovered(about) {
			r.Logger.Info("the member answers again", zap.Stringer("endpoint", a.endpoint))
		}
		return
	}
	r.failure = r.explain(a, callStatus)
	r.told.warn(about, etcdclient.ErrorType(r.failure), "the member does not answer", zap.Error(r.failure))
}

// tellStatus says that Status is denied, and what to do.
func (r *run) tellStatus(a *answered) {
	err := a.failed[callStatus]
	if !etcdclient.IsDenied(err) {
		r.told.recovered("denied " + a.endpoint.String())
		return
	}
	message := r.denial(a)
	if a.header == nil { // not even the member list was answered
		r.failure = fmt.Errorf("%s: %s", a.endpoint, message)
	}
	r.told.warn("denied "+a.endpoint.String(), message, message, zap.Stringer("endpoint", a.endpoint), zap.Error(err))
}

// denial names the grant that is missing, and what is read instead. On etcd
// 3.4.45 and 3.6.0 to 3.6.8 Status needs the role root (measured on 15 releases).
func (r *run) denial(a *answered) string {
	version := a.metrics.label(familyVersion, "server_version")
	username := r.Cluster.Username()
	var why string
	switch {
	case username == "":
		why = fmt.Sprintf("etcd %s has auth on and no user is configured: set username and password", version)
	case etcdclient.ErrorType(a.failed[callStatus]) == codes.PermissionDenied.String():
		why = fmt.Sprintf("etcd user %q may not call Status on etcd %s (needs the role root there)", username, version)
	default:
		why = fmt.Sprintf("etcd %s refuses the login: check username %q and password", version, username)
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

func (r *run) tellMetrics(a *answer) {
	about := "metrics " + a.endpoint.String()
	err := a.failed[callMetrics]
	switch {
	case err == nil:
		if r.told.recovered(about) {
			r.Logger.Info("the member's /metrics answers again", zap.Stringer("endpoint", a.endpoint))
		}
	case r.RequireMetrics:
		r.told.warn(about, etcdclient.ErrorType(err), "the member's /metrics does not answer, and status.prometheus is required", zap.Error(r.explain(a, callMetrics)))
	default:
		r.told.info(about, etcdclient.ErrorType(err), "the member's /metrics does not answer; its metrics are left out", zap.Error(r.explain(a, callMetrics)))
	}
}

func (r *run) explain(a *answer, name call) error {
	return etcdclient.Explain(a.failed[name], a.endpoint, r.Cluster.Username())
}

// report tells whether anything is known of the cluster.
func (r *run) report() {
	if r.failure == nil || r.answers() {
		r.Report(nil)
		return
	}
	r.Report(fmt.Errorf("no member of the etcd cluster tells its status: %w", r.failure))
}
