// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

func TestStatusWithAMetricsPipelineOnlyDoesNotWatch(t *testing.T) {
	c := harness.Start(t, "3.6", localcluster.Config{})
	r := harness.New(t, watchYAML(c.Endpoints()), false, true)
	r.Start(t)
	t.Cleanup(func() { r.Stop(t) })
	waitFor(t, "metrics arrive", func() bool { return len(r.Metrics()) > 2 })
	assert.Zero(t, r.Log.FilterMessage("watching").Len())
	assert.Empty(t, r.Records())
}

func TestStatusWithALogsPipelineOnlyTellsChangesAndEvents(t *testing.T) {
	c := harness.Start(t, "3.6", localcluster.Config{Size: 3})
	r := harness.New(t, watchYAML(c.Endpoints()), true, false)
	r.Start(t)
	t.Cleanup(func() { r.Stop(t) })
	watchOpened(t, r, 1)
	watchArrived(t, r, watchPut(t, newClient(t, c), "/a", ""), "/a")
	_, followers := roles(t, c)
	require.NoError(t, followers[0].Kill())
	waitFor(t, "the event arrives", func() bool { return len(watchNamed(r, "etcd.member.unreachable")) == 1 })
	assert.Empty(t, r.Metrics())
}
