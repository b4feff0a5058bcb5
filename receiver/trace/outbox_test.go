// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// A batch that the queue has no room for takes with it what it tells of others: all
// of that is told by the next one that leaves.
func TestTheGapIsWhatWasLostHoweverOften(t *testing.T) {
	lost := map[string]int64{}
	o := &outbox{
		format: &logrecord.Format{Events: metadata.DefaultEventsConfig()}, resource: &resource.Builder{},
		queue: make(chan plog.Logs, 1), lost: func(stage string, n int64) { lost[stage] += n }, open: map[*process]*openBatch{},
	}
	p := &process{executable: &executable{}}
	now := time.Now()
	request := func(b *logrecord.Batch) { b.Request(&logrecord.Request{Family: "put", Count: logrecord.Absent}) }
	gaps := func() (of []int64) {
		for _, lr := range (<-o.queue).ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
			if n, ok := lr.Attributes().Get("etcd.gap.count"); ok {
				of = append(of, n.Int())
			}
		}
		return of
	}

	o.add(p, now, request)
	o.untold = 7 // by the ring, while the batch was open
	o.flush(now, true)
	assert.Equal(t, []int64{7}, gaps())

	o.queue <- plog.NewLogs() // the pipeline refuses
	for range 2 {
		o.untold++
		o.add(p, now, request)
		o.add(p, now, request)
		o.flush(now, true)
	}
	<-o.queue
	assert.Equal(t, map[string]int64{LostQueue: 4}, lost)
	o.add(p, now, request)
	o.flush(now, true)
	assert.Equal(t, []int64{2 + 4}, gaps())
	assert.Zero(t, o.untold)
}

func TestAnOrderlyEndOffersAllThatIsQueuedForTwoSeconds(t *testing.T) {
	for _, c := range []struct {
		name  string
		takes bool
		took  time.Duration
		lost  int64
	}{
		{"the pipeline takes all", true, 0, 0},
		{"the pipeline takes nothing", false, lastOffers, queueBatches - 1}, // one was offered: who delivers counts it
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, end := context.WithCancel(t.Context())
				offers, probesOut, cancel := offering(ctx)
				defer cancel()
				var lost int64
				o := &outbox{queue: make(chan plog.Logs, queueBatches), lost: func(_ string, n int64) { lost += n }}
				for range queueBatches {
					logs := plog.NewLogs()
					logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
					o.queue <- logs
				}
				close(o.queue)
				end()
				time.Sleep(time.Minute) // taking probes out
				probesOut()
				ended := time.Now()
				o.deliver(offers, func(ctx context.Context, _ plog.Logs) error {
					if !c.takes {
						<-ctx.Done()
					}
					return ctx.Err()
				})
				assert.Equal(t, c.took, time.Since(ended)) // on the clock of the bubble
				assert.Equal(t, c.lost, lost)
			})
		})
	}
}
