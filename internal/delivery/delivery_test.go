// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBusy = errors.New("busy")

func deliverer(t *testing.T, next func(context.Context, plog.Logs) error) *Deliverer {
	t.Helper()
	logs, err := consumer.NewLogs(next)
	require.NoError(t, err)
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverCreateSettings: receivertest.NewNopSettings(metadata.Type)})
	require.NoError(t, err)
	duration, err := noop.NewMeterProvider().Meter("").Float64Histogram("")
	require.NoError(t, err)
	retries, err := noop.NewMeterProvider().Meter("").Int64Counter("")
	require.NoError(t, err)
	return &Deliverer{
		Next: logs, Obs: obs, Retries: retries, Duration: duration, Logger: zap.NewNop(),
		Retry: configretry.BackOffConfig{Enabled: true, InitialInterval: time.Millisecond, MaxInterval: 2 * time.Millisecond, Multiplier: 1.5},
	}
}

func records(bodies ...string) plog.Logs {
	logs := plog.NewLogs()
	for _, b := range bodies {
		logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr(b)
	}
	return logs
}

func TestARefusalForNowIsOfferedAgainUntilItIsAccepted(t *testing.T) {
	attempts := 0
	d := deliverer(t, func(_ context.Context, logs plog.Logs) error {
		attempts++
		assert.Equal(t, 2, logs.LogRecordCount())
		if attempts < 20 {
			return errBusy
		}
		return nil
	})
	require.NoError(t, d.Deliver(context.Background(), records("a", "b")))
	assert.Equal(t, 20, attempts)
}

func TestARefusalForGoodIsOfferedOnce(t *testing.T) {
	attempts := 0
	d := deliverer(t, func(context.Context, plog.Logs) error { attempts++; return consumererror.NewPermanent(errBusy) })
	var refused *RefusedError
	require.ErrorAs(t, d.Deliver(context.Background(), records("a", "b")), &refused)
	assert.Equal(t, 2, refused.Records)
	require.ErrorIs(t, refused, errBusy)
	assert.Equal(t, 1, attempts)
}

func TestOnlyThePartThatFailedIsOfferedAgain(t *testing.T) {
	var offered []int
	d := deliverer(t, func(_ context.Context, logs plog.Logs) error {
		offered = append(offered, logs.LogRecordCount())
		if len(offered) == 1 {
			return consumererror.NewLogs(errBusy, records("b"))
		}
		return nil
	})
	require.NoError(t, d.Deliver(context.Background(), records("a", "b", "c")))
	assert.Equal(t, []int{3, 1}, offered)
}

func TestPatienceEndsWhereTheUserSaysSo(t *testing.T) {
	refuse := func(context.Context, plog.Logs) error { return errBusy }
	t.Run("max_elapsed_time", func(t *testing.T) {
		d := deliverer(t, refuse)
		d.Retry.MaxElapsedTime = 20 * time.Millisecond
		var refused *RefusedError
		require.ErrorAs(t, d.Deliver(context.Background(), records("a")), &refused)
		assert.Contains(t, refused.Error(), "retry_on_failure.max_elapsed_time 20ms is over")
	})
	t.Run("no retries", func(t *testing.T) {
		d := deliverer(t, refuse)
		d.Retry.Enabled = false
		var refused *RefusedError
		require.ErrorAs(t, d.Deliver(context.Background(), records("a")), &refused)
	})
}

func TestTheEndOfTheContextIsNoRefusal(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	d := deliverer(t, func(context.Context, plog.Logs) error { cancel(); return errBusy })
	err := d.Deliver(ctx, records("a"))
	require.ErrorIs(t, err, context.Canceled)
	var refused *RefusedError
	assert.False(t, errors.As(err, &refused), "the records are read again, they are not lost")
}

func TestAPipelineThatChangesRecordsCannotSpoilTheNextAttempt(t *testing.T) {
	logs := records("a")
	d := deliverer(t, func(_ context.Context, logs plog.Logs) error {
		assert.True(t, logs.IsReadOnly(), "a mutating pipeline copies what is read only")
		return nil
	})
	require.NoError(t, d.Deliver(context.Background(), logs))
}
