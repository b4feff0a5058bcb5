// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

const smallQuota = "--quota-backend-bytes=2097152"

// fill writes until etcd raises the alarm NOSPACE, and gives the newest revision.
func fill(t *testing.T, cluster *localcluster.Cluster) int64 {
	t.Helper()
	ctx := contextFor(t, 2*time.Minute)
	client := newClient(t, cluster)
	value := strings.Repeat("x", 100<<10)
	var revision int64
	for i := range 100 {
		put, err := client.Put(ctx, "k"+strconv.Itoa(i%3), value)
		if errors.Is(err, rpctypes.ErrNoSpace) {
			return revision
		}
		require.NoError(t, err)
		revision = put.Header.Revision
	}
	t.Fatal("10 MB fit into 2 MiB")
	return 0
}

func TestEventsOfAlarms(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{ExtraArgs: []string{smallQuota}})
		m := cluster.Members()[0]
		r := statusRun(t, cluster.Endpoints(), "{}")
		r.complete(t, m)
		assert.True(t, r.is(0, "etcd.alarm.active", m.Name, "nospace"))
		assert.True(t, r.is(2<<20, "etcd.db.limit", m.Name))

		revision := fill(t, cluster)
		raised := r.record(t, time.Time{}, "etcd.alarm.raised", about(m))
		assert.Equal(t, "ERROR", raised.Severity)
		assert.Equal(t, "nospace", raised.Attrs["etcd.alarm.type"])
		assert.Equal(t, "member n1 raised the alarm nospace", raised.Body)
		assert.True(t, r.is(1, "etcd.alarm.active", m.Name, "nospace"))
		assert.True(t, r.is(0, "etcd.alarm.active", m.Name, "corrupt"))
		assert.True(t, r.is(1, "etcd.member.health", m.Name, "healthy"), "alarms do not count as ill health")

		ctx := contextFor(t, 2*time.Minute)
		client := newClient(t, cluster)
		_, err := client.Compact(ctx, revision, clientv3.WithCompactPhysical())
		require.NoError(t, err)
		_, err = client.Defragment(ctx, m.ClientURL)
		require.NoError(t, err)
		_, err = client.AlarmDisarm(ctx, &clientv3.AlarmMember{})
		require.NoError(t, err)
		cleared := r.record(t, raised.At, "etcd.alarm.cleared", about(m))
		assert.Equal(t, "INFO", cleared.Severity)
		assert.Equal(t, "nospace", cleared.Attrs["etcd.alarm.type"])
		assert.Equal(t, "member n1 cleared the alarm nospace", cleared.Body)
		waitFor(t, "no alarm", func() bool { return r.is(0, "etcd.alarm.active", m.Name, "nospace") })
		assert.Equal(t, []string{"etcd.alarm.raised", "etcd.alarm.cleared"}, r.events())
	})
}

func TestEventsTellAnAlarmThatWasRaisedBeforeTheStart(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		cluster := harness.Start(t, version, localcluster.Config{ExtraArgs: []string{smallQuota}})
		fill(t, cluster)
		r := statusRun(t, cluster.Endpoints(), "{}")
		r.record(t, time.Time{}, "etcd.alarm.raised", about(cluster.Members()[0]))
		r.collections(t, 3)
		assert.Equal(t, []string{"etcd.alarm.raised"}, r.events(), "once")
	})
}
