// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

func TestResourceSaysWhoTheTelemetryIsAbout(t *testing.T) {
	b := Builder{Attributes: metadata.DefaultResourceAttributesConfig(), ClusterName: "prod", Labels: map[string]string{"environment": "live"}}
	cluster := map[string]any{
		"service.name": "etcd", "etcd.cluster.id": "00000000000000ff", "etcd.cluster.name": "prod", "environment": "live",
	}
	with := func(more map[string]any) map[string]any {
		out := map[string]any{}
		for _, m := range []map[string]any{cluster, more} {
			for k, v := range m {
				out[k] = v
			}
		}
		return out
	}
	assert.Equal(t, cluster, b.Cluster(0xff).Attributes().AsRaw())
	assert.Equal(t, with(map[string]any{
		"etcd.member.id": "000000000000000a", "etcd.member.name": "n1", "service.version": "3.6.16",
		// uuid.NewSHA1(namespace, "00000000000000ff/000000000000000a"), the same in every run.
		"service.instance.id": "46f6bfe3-0938-5745-9c21-3c2e7de00ed3",
		"server.address":      "10.0.0.1", "server.port": int64(2379),
	}), b.Member(0xff, Member{ID: 10, Name: "n1", Version: "3.6.16", Endpoint: etcdclient.Endpoint{Host: "10.0.0.1", Port: 2379}}).Attributes().AsRaw())

	silent := b.Member(0xff, Member{ID: 10, Name: "n1", Endpoint: etcdclient.Endpoint{Scheme: "unix", Path: "/run/etcd.sock"}}).Attributes().AsRaw()
	assert.Equal(t, "/run/etcd.sock", silent["server.address"])
	assert.NotContains(t, silent, "server.port")
	assert.NotContains(t, silent, "service.version")
}

func TestWithoutANameOrLabelsTheyAreAbsent(t *testing.T) {
	b := Builder{Attributes: metadata.DefaultResourceAttributesConfig()}
	assert.Equal(t, map[string]any{"service.name": "etcd", "etcd.cluster.id": "0000000000000001"}, b.Cluster(1).Attributes().AsRaw())
}

func TestSwitchedOffAttributesAreAbsent(t *testing.T) {
	attributes := metadata.DefaultResourceAttributesConfig()
	attributes.EtcdClusterID.Enabled = false
	b := Builder{Attributes: attributes}
	assert.Equal(t, map[string]any{"service.name": "etcd"}, b.Cluster(1).Attributes().AsRaw())
}
