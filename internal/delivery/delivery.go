// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package delivery hands log records to the pipeline until it takes them.
//
// The position of a stream moves after Deliver, never before: a record that was
// not accepted must be read again after a crash.
package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
)

// RefusedError says that the pipeline will never take these records, or that the
// user's limit of patience was reached. They are lost.
type RefusedError struct {
	// Records that were not taken.
	Records int
	Cause   error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the pipeline refused %d log records for good: %v", e.Records, e.Cause)
}

// Unwrap gives the pipeline's own error.
func (e *RefusedError) Unwrap() error { return e.Cause }

// StageRefused is the attribute of what was lost because the pipeline refused it.
var StageRefused = metric.WithAttributeSet(attribute.NewSet(attribute.String("stage", "refused")))

// Deliverer delivers to one pipeline. It may be shared by goroutines.
type Deliverer struct {
	Next    consumer.Logs
	Retry   configretry.BackOffConfig
	Obs     *receiverhelper.ObsReport
	Retries metric.Int64Counter
	// Duration takes the time of each offer in seconds.
	Duration metric.Float64Histogram
	Logger   *zap.Logger
}

// Deliver returns nil once the pipeline has accepted all of logs. It waits and
// offers them again while they are refused for now; meanwhile the caller reads
// nothing, which is the back-pressure. It returns a *RefusedError if they are
// refused for good, and the cause of ctx if that ends first; then it is not known
// whether the pipeline has them. logs becomes read
// only: a pipeline that changes records must change a copy, or the next attempt
// would offer what the first one made of them.
func (d *Deliverer) Deliver(ctx context.Context, logs plog.Logs) error {
	logs.MarkReadOnly()
	total := logs.LogRecordCount()
	obs := d.Obs.StartLogsOp(ctx)
	left, err := d.offer(ctx, logs)
	if err != nil && ctx.Err() == nil {
		d.Obs.EndLogsOp(obs, "etcd", total, err)
		return &RefusedError{Records: left, Cause: err}
	}
	d.Obs.EndLogsOp(obs, "etcd", total, err)
	return err
}

// offer gives back how many records were not taken, with the error.
func (d *Deliverer) offer(ctx context.Context, logs plog.Logs) (int, error) {
	wait := d.backOff()
	started := time.Now()
	for attempt := 0; ; attempt++ {
		offered := time.Now()
		err := d.consume(ctx, logs)
		d.Duration.Record(ctx, time.Since(offered).Seconds())
		if err == nil {
			if attempt > 0 {
				d.Logger.Info("the pipeline accepts log records again", zap.Int("attempts", attempt+1))
			}
			return 0, nil
		}
		var partial consumererror.Logs
		if errors.As(err, &partial) {
			logs = partial.Data()
			logs.MarkReadOnly()
		}
		delay := wait.NextBackOff()
		switch {
		case ctx.Err() != nil:
			return logs.LogRecordCount(), context.Cause(ctx)
		case consumererror.IsPermanent(err), !d.Retry.Enabled:
			return logs.LogRecordCount(), err
		case d.Retry.MaxElapsedTime > 0 && time.Since(started)+delay > d.Retry.MaxElapsedTime:
			return logs.LogRecordCount(), fmt.Errorf("retry_on_failure.max_elapsed_time %s is over: %w", d.Retry.MaxElapsedTime, err)
		}
		if attempt == 0 {
			d.Logger.Warn("the pipeline refuses log records for now; reading stops until it accepts them", zap.Error(err))
		}
		d.Retries.Add(ctx, 1)
		select {
		case <-ctx.Done():
			return logs.LogRecordCount(), context.Cause(ctx)
		case <-time.After(delay):
		}
	}
}

// Grace is how long an offer that is under way when ctx ends may wait for its
// answer: an export that is cut off then may have arrived, and would come twice.
const Grace = 2 * time.Second

func (d *Deliverer) consume(ctx context.Context, logs plog.Logs) error {
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(Grace, cancel) })()
	return d.Next.ConsumeLogs(lasting, logs)
}

func (d *Deliverer) backOff() backoff.BackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval:     d.Retry.InitialInterval,
		RandomizationFactor: d.Retry.RandomizationFactor,
		Multiplier:          d.Retry.Multiplier,
		MaxInterval:         d.Retry.MaxInterval,
	}
}
