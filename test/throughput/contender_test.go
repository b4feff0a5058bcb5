// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package throughput

import (
	"context"
	"runtime/pprof"
	"slices"
	"testing"

	"go.opentelemetry.io/collector/consumer"
)

// contender is one way to turn changes into plog. Its start reads from a revision
// on.
type contender struct {
	name  string
	start func(ctx context.Context, tb testing.TB, s *server, first int64, consume consumer.ConsumeLogsFunc) (stop func())
}

// batchRecords is the receiver's watch.batch.max_records.
const batchRecords = 1024

var (
	ours      = receiverContender("ours", nil)
	batched   = clientContender("clientv3_batched", rival{batch: batchRecords, prevKV: true})
	oneByOne  = clientContender("clientv3_one_by_one", rival{batch: 1, prevKV: true})
	converted = []contender{ours, batched, oneByOne}

	oneWatch                = clientContender("clientv3_one_watcher", rival{batch: batchRecords, prevKV: true})
	oursWithoutPrevious     = receiverContender("ours_no_previous", map[string]any{"prev_kv": false})
	oneWatchWithoutPrevious = clientContender("clientv3_one_watcher_no_previous", rival{batch: batchRecords})
)

func receiverContender(name string, watch map[string]any) contender {
	return contender{name, func(ctx context.Context, tb testing.TB, s *server, first int64, consume consumer.ConsumeLogsFunc) func() {
		return startOurs(ctx, tb, s, from(first, watch), consume)
	}}
}

func clientContender(name string, r rival) contender {
	return contender{name, func(ctx context.Context, tb testing.TB, s *server, first int64, consume consumer.ConsumeLogsFunc) func() {
		r := r
		r.client, r.consume = s.client, consume
		stop := startRival(ctx, &r, first)
		return func() {
			if err := stop(); err != nil {
				tb.Error(err)
			}
		}
	}}
}

// run starts a contender under a label by which a CPU profile can be split.
func (c *contender) run(tb testing.TB, s *server, first int64, consume consumer.ConsumeLogsFunc) (stop func()) {
	tb.Helper()
	pprof.Do(context.Background(), pprof.Labels("contender", c.name), func(ctx context.Context) {
		stop = c.start(ctx, tb, s, first, consume)
	})
	return stop
}

// turns changes the order from round to round, so that no contender always
// follows the same one.
func turns[T any](round int, of []T) []T {
	out := slices.Clone(of)
	if round%2 != 0 {
		slices.Reverse(out)
	}
	return out
}
