// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// upgrades are the steps that etcd allows: one minor at a time.
var upgrades = map[string]string{"3.4": "3.5", "3.5": "3.6", "3.6": "3.7"}

func TestEventsOfAVersionChange(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		next, ok := upgrades[version]
		if !ok {
			t.Skipf("etcd %s is the newest", version)
		}
		binary := harness.Binary(t, next)
		cluster := harness.Start(t, version, localcluster.Config{Size: 3})
		client := newClient(t, cluster)
		r := statusRun(t, cluster.Endpoints(), "{}")
		r.complete(t, cluster.Members()...)
		assert.True(t, r.is(1, "etcd.cluster.version.count", ""))

		for i, m := range cluster.Members() {
			was, err := client.Status(testContext(t), m.ClientURL)
			require.NoError(t, err)
			require.NoError(t, m.Stop())
			stopped := time.Now()
			m.SetBinary(binary)
			require.NoError(t, m.Restart(testContext(t)))
			is, err := client.Status(testContext(t), m.ClientURL)
			require.NoError(t, err)
			require.NotEqual(t, was.Version, is.Version)

			changed := r.record(t, stopped, "etcd.version.changed", about(m))
			assert.Equal(t, "INFO", changed.Severity)
			assert.Equal(t, m.Name, changed.Attrs["etcd.member.name"])
			assert.Equal(t, was.Version, changed.Attrs["etcd.member.prev_version"])
			assert.Equal(t, is.Version, changed.Attrs["etcd.member.version"])
			assert.Equal(t, "member "+m.Name+" runs etcd "+is.Version+", before "+was.Version, changed.Body)
			versions := 2.0
			if i == 2 {
				versions = 1
			}
			r.complete(t, cluster.Members()...)
			waitFor(t, "the count of versions", func() bool { return r.is(versions, "etcd.cluster.version.count", "") })
			p, _ := r.last("etcd.member.health", m.Name)
			assert.Equal(t, is.Version, p.resource["service.version"])
			assert.Equal(t, []string{"etcd.member.unreachable", "etcd.member.reachable", "etcd.version.changed"}, r.events(m.Name))
		}
	})
}
