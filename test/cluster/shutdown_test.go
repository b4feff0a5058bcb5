// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/goleak"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// The Collector's lifecycle: Shutdown may come at any time, before Start, and
// twice; after it nothing of the component runs. A receiver that is made anew
// must work.
func TestShutdownEndsEverythingInTimeWhateverTheReceiverDoes(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		c := harness.Start(t, version, localcluster.Config{})
		client := newClient(t, c)
		watchPut(t, client, "/before", "")
		config := watchYAML(c.Endpoints())
		for _, tc := range []struct {
			name string
			// until brings a receiver, not yet started, to where it is shut down.
			config string
			refuse func(plog.Logs) error
			until  func(t *testing.T, r *harness.Receiver)
		}{
			{name: "before Start", config: config, until: func(*testing.T, *harness.Receiver) {}},
			{name: "immediately after Start", config: config, until: func(t *testing.T, r *harness.Receiver) { r.Start(t) }},
			{name: "while it works", config: config, until: func(t *testing.T, r *harness.Receiver) {
				r.Start(t)
				watchOpened(t, r, 1)
				waitFor(t, "metrics arrive", func() bool { return len(r.Metrics()) > 0 })
			}},
			{name: "while it dials", config: watchYAML([]string{"http://" + connectBlackHole(t)}, "timeout: 60s"), until: func(t *testing.T, r *harness.Receiver) {
				r.Start(t)
				waitFor(t, "it dials", func() bool { return r.Log.FilterMessage("using etcd").Len() > 0 })
			}},
			{name: "while it logs in", config: watchYAML([]string{"http://" + connectBlackHole(t)}, "timeout: 60s", "username: u", "password: p"), until: func(t *testing.T, r *harness.Receiver) {
				r.Start(t)
				waitFor(t, "it dials", func() bool { return r.Log.FilterMessage("using etcd").Len() > 0 })
			}},
			{name: "during a scrape", config: watchYAML(c.Endpoints(), "timeout: 60s"), until: func(t *testing.T, r *harness.Receiver) {
				r.Start(t)
				watchOpened(t, r, 1)
				waitFor(t, "metrics arrive", func() bool { return len(r.Metrics()) > 0 })
				require.NoError(t, c.Members()[0].Pause())
				waitFor(t, "five intervals bring nothing, so a call is on its way", func() bool {
					batches := r.Metrics()
					return time.Since(batches[len(batches)-1].At) > time.Second
				})
			}},
			{
				name: "during a refused delivery", config: config,
				refuse: func(plog.Logs) error { return errors.New("full for ever") },
				until: func(t *testing.T, r *harness.Receiver) {
					r.Start(t)
					watchOpened(t, r, 1)
					watchPut(t, client, "/never-taken", "")
					waitFor(t, "it is refused", func() bool { return watchCounter(t, r, "receiver_etcd_retries", "", "") > 2 })
				},
			},
		} {
			t.Run(tc.name, func(t *testing.T) {
				running := goleak.IgnoreCurrent()
				r := harness.New(t, tc.config, true, true)
				r.RefuseLogs = tc.refuse
				tc.until(t, r)
				began := time.Now()
				r.Stop(t)
				assert.Less(t, time.Since(began), 5*time.Second)
				r.Stop(t) // a second time
				_ = c.Members()[0].Resume()
				goleak.VerifyNone(t, running)

				again := watchRun(t, config, 1, nil)
				revision := watchPut(t, client, "/again", "")
				watchArrived(t, again, revision, "/again")
			})
		}
	})
}

// What was read is delivered before the end, if the pipeline takes it.
func TestShutdownDeliversWhatWasRead(t *testing.T) {
	c := harness.Start(t, "3.6", localcluster.Config{})
	client := newClient(t, c)
	r := harness.New(t, watchYAML(c.Endpoints(), "watch: {batch: {max_delay: 60s}}"), true, true)
	r.Start(t)
	watchOpened(t, r, 1)
	for range 10 {
		watchPut(t, client, "/read", "")
	}
	waitFor(t, "all are read", func() bool { return watchCounter(t, r, "receiver_etcd_events_received", "source", "watch") == 10 })
	assert.Empty(t, watchChanges(r))
	r.Stop(t)
	assert.Len(t, watchChanges(r), 10)
}
