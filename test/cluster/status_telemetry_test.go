// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

func TestStatusDeclaredPartialFailureIsCounted(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{Size: 3})
		_, followers := roles(t, cluster)
		dead := followers[0]
		// A member that is slow to answer is left out of the next collection, which may happen within the 200 ms of the other
		// tests.
		r := statusRun(t, cluster.Endpoints(), "{collection_interval: 500ms}")
		r.complete(t, cluster.Members()...)
		r.collections(t, 5)
		assert.Empty(t, scrapeErrors(t, r), "nothing fails")

		killed := time.Now()
		require.NoError(t, dead.Kill())
		r.record(t, killed, "etcd.member.unreachable", about(dead))
		asked := func() int { return len(r.since(killed, "etcd.member.health", dead.Name, "unreachable")) }
		before, askedBefore, allBefore := scrapeErrors(t, r), asked(), scrapes(t, r)
		calls := []string{"status", "member_list", "read", "metrics"} // which are counted one after the other
		waitFor(t, "eight failures of each call", func() bool {
			now := scrapeErrors(t, r)
			return !slices.ContainsFunc(calls, func(call string) bool { return now[call+" Unavailable"] < before[call+" Unavailable"]+8 })
		})
		after, askedAfter := scrapeErrors(t, r), asked()
		for _, call := range calls {
			failed := after[call+" Unavailable"] - before[call+" Unavailable"]
			assert.InDelta(t, askedAfter-askedBefore, failed, 2, "%s: what a collection may be cut by at either end", call)
		}
		assert.GreaterOrEqual(t, scrapes(t, r)-allBefore, int64(8), "how long each took is told as well")
		for key := range after {
			assert.Contains(t, key, " Unavailable")
		}
	})
}

// scrapes counts how often a member was asked.
func scrapes(t *testing.T, r statusReceiver) int64 {
	t.Helper()
	metric, err := r.Telemetry.GetMetric("otelcol_receiver_etcd_scrape_duration")
	require.NoError(t, err)
	histogram, ok := metric.Data.(metricdata.Histogram[float64])
	require.True(t, ok)
	var n uint64
	for _, dp := range histogram.DataPoints {
		n += dp.Count
	}
	return int64(n)
}
