// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package etcdreceiver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/receiver/watch"
)

// statusHost notes the component status.
type statusHost struct {
	component.Host
	events []*componentstatus.Event
}

func (h *statusHost) Report(ev *componentstatus.Event) { h.events = append(h.events, ev) }

func TestHealthReportsTransitionsAndAllCauses(t *testing.T) {
	host := &statusHost{Host: componenttest.NewNopHost()}
	h := newHealth()
	h.add(host)
	h.report("status", nil)
	assert.Empty(t, host.events, "well from the start is no news")

	h.report("watch /b", errors.New("second"))
	h.report("watch /b", errors.New("second again"))
	h.report("status", errors.New("first"))
	late := &statusHost{Host: componenttest.NewNopHost()}
	h.add(late)
	require.Len(t, late.events, 1, "a pipeline that starts later is told at once")
	assert.EqualError(t, late.events[0].Err(), "status: first\nwatch /b: second again")
	require.Len(t, host.events, 1)
	assert.Equal(t, componentstatus.StatusRecoverableError, host.events[0].Status())
	assert.EqualError(t, host.events[0].Err(), "watch /b: second")

	h.report("watch /b", nil)
	require.Len(t, host.events, 1, "status is still not well")
	h.report("status", nil)
	require.Len(t, host.events, 2)
	assert.Equal(t, componentstatus.StatusOK, host.events[1].Status())
	assert.Len(t, late.events, 2)
}

func TestAStreamThatHasStoppedIsAPermanentError(t *testing.T) {
	host := &statusHost{Host: componenttest.NewNopHost()}
	h := newHealth()
	h.add(host)
	h.report("watch ", fmt.Errorf("%w: no", watch.ErrStopped))
	require.Len(t, host.events, 1)
	assert.Equal(t, componentstatus.StatusPermanentError, host.events[0].Status())
}

func TestPipelinesOfOneConfigurationShareOneReceiver(t *testing.T) {
	factory := NewFactory()
	settings := receivertest.NewNopSettings(metadata.Type)
	config, other := factory.CreateDefaultConfig(), factory.CreateDefaultConfig()
	ctx := context.Background()

	logs, err := factory.CreateLogs(ctx, settings, config, consumertest.NewNop())
	require.NoError(t, err)
	metrics, err := factory.CreateMetrics(ctx, settings, config, consumertest.NewNop())
	require.NoError(t, err)
	assert.Same(t, logs, metrics)

	third, err := factory.CreateMetrics(ctx, settings, other, consumertest.NewNop())
	require.NoError(t, err)
	assert.NotSame(t, metrics, third)

	require.NoError(t, logs.Shutdown(ctx))
	fresh, err := factory.CreateLogs(ctx, settings, config, consumertest.NewNop())
	require.NoError(t, err)
	assert.NotSame(t, logs, fresh, "a receiver that was shut down is not used again")
	require.NoError(t, errors.Join(metrics.Shutdown(ctx), third.Shutdown(ctx), fresh.Shutdown(ctx)))
}

func TestShutdownBeforeStartEndsInAReceiverThatDoesNothing(t *testing.T) {
	factory := NewFactory()
	r, err := factory.CreateLogs(context.Background(), receivertest.NewNopSettings(metadata.Type), factory.CreateDefaultConfig(), consumertest.NewNop())
	require.NoError(t, err)
	require.NoError(t, r.Shutdown(context.Background()))
	require.NoError(t, r.Start(context.Background(), componenttest.NewNopHost()))
	require.NoError(t, r.Shutdown(context.Background()))
}

// The roads of status and of requests offer metrics at the same time.
func TestAPipelineThatRefusesMetricsIsToldOnceForAllRoads(t *testing.T) {
	core, logged := observer.New(zap.InfoLevel)
	settings := receivertest.NewNopSettings(metadata.Type)
	settings.Logger = zap.New(core)
	r, err := newReceiver(settings, NewFactory().CreateDefaultConfig().(*Config), func() {})
	require.NoError(t, err)
	offer := func(next consumer.Metrics) {
		r.metrics = next
		var roads sync.WaitGroup
		for range 4 {
			roads.Go(func() { r.consumeMetrics(context.Background(), pmetric.NewMetrics()) })
		}
		roads.Wait()
	}
	offer(consumertest.NewErr(errors.New("no")))
	assert.Equal(t, 1, logged.FilterMessageSnippet("refuses metrics").Len())
	offer(consumertest.NewNop())
	assert.Equal(t, 1, logged.FilterMessageSnippet("accepts metrics again").Len())
}
