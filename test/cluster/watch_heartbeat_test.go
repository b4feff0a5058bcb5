// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

func TestWatchGoesOnAtAnotherMemberWhileItsMemberIsFrozen(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		c := harness.Start(t, version, localcluster.Config{Size: 3})
		r := watchRun(t, watchYAML(c.Endpoints()), 1, nil)
		serving := r.Log.FilterMessage("watching").All()[0].ContextMap()["endpoint"]
		var frozen, other *localcluster.Member
		for _, m := range c.Members() {
			if m.ClientURL == serving {
				frozen = m
			} else {
				other = m
			}
		}
		require.NotNil(t, frozen, serving)
		require.NoError(t, frozen.Pause())
		client := newClient(t, c, func(cfg *clientv3.Config) { cfg.Endpoints = []string{other.ClientURL} })
		waitFor(t, "the others have a leader", func() bool { // it may have been the frozen one
			_, err := client.Get(testContext(t), "/")
			return err == nil
		})
		watchArrived(t, r, watchPut(t, client, "/while-frozen", ""), "/while-frozen")
		assert.Empty(t, watchNamed(r, "etcd.watch.gap"))
		require.NoError(t, frozen.Resume())
	})
}

func TestWatchOfAQuietPrefixHasNoGapAfterACompactionWhereProgressIsBelieved(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		believed := version != "3.4" // 3.4.23 may announce a progress ahead of events (etcd issue 15220)
		c := harness.Start(t, version, localcluster.Config{})
		client := newClient(t, c)
		r := watchRun(t, watchYAML(c.Endpoints(), "watch: {prefixes: [/quiet/]}"), 1, nil)
		for range 20 {
			watchPut(t, client, "/loud/", "")
		}
		last := watchPut(t, client, "/loud/", "")
		if believed {
			waitFor(t, "the position has passed what is not ours", func() bool { return watchPosition(r) >= last })
		}
		_, err := client.Compact(testContext(t), last)
		require.NoError(t, err)

		m := c.Members()[0]
		require.NoError(t, m.Kill())
		require.NoError(t, m.Restart(testContext(t)))
		watchOpened(t, r, 2)
		watchArrived(t, r, watchPut(t, newClient(t, c), "/quiet/again", ""), "/quiet/again")
		if believed {
			assert.Empty(t, watchNamed(r, "etcd.watch.gap"))
		} else {
			assert.Len(t, watchNamed(r, "etcd.watch.gap"), 1, "it cannot know that nothing is missing")
		}
	})
}

// watchPosition is the revision that the receiver says is behind it.
func watchPosition(r *harness.Receiver) int64 {
	metric, err := r.Telemetry.GetMetric("otelcol_receiver_etcd_watch_revision")
	if err != nil {
		return 0 // not told yet
	}
	gauge, _ := metric.Data.(metricdata.Gauge[int64])
	var position int64
	for _, dp := range gauge.DataPoints {
		position = max(position, dp.Value)
	}
	return position
}
