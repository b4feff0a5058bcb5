// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.yaml.in/yaml/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// contract is what metadata.yaml promises about metrics.
type contract struct {
	ResourceAttributes map[string]any `yaml:"resource_attributes"`
	Attributes         map[string]struct {
		Type string   `yaml:"type"`
		Enum []string `yaml:"enum"`
	} `yaml:"attributes"`
	Metrics map[string]declared `yaml:"metrics"`
}

type declared struct {
	Description string   `yaml:"description"`
	Unit        string   `yaml:"unit"`
	Attributes  []string `yaml:"attributes"`
	Sum         *struct {
		ValueType   string `yaml:"value_type"`
		Monotonic   bool   `yaml:"monotonic"`
		Temporality string `yaml:"aggregation_temporality"`
	} `yaml:"sum"`
	Gauge *struct {
		ValueType string `yaml:"value_type"`
	} `yaml:"gauge"`
}

// handwritten are the histograms that metadata.yaml cannot declare yet, with
// their attributes: receiver/status/histogram.go.
var handwritten = map[string][]string{
	"etcd.db.commit.duration":    nil,
	"etcd.grpc.request.duration": {"rpc.method"}, // only with --metrics=extensive
	"etcd.network.peer.rtt":      {"etcd.peer.id"},
	"etcd.wal.sync.duration":     nil,
}

func readContract(t *testing.T) contract {
	t.Helper()
	text, err := os.ReadFile("../../metadata.yaml")
	require.NoError(t, err)
	var c contract
	require.NoError(t, yaml.Unmarshal(text, &c))
	require.NotEmpty(t, c.Metrics)
	return c
}

func TestStatusEveryMetricOfMetadataYAMLComesOutOfARealEtcd(t *testing.T) {
	promised := readContract(t)
	harness.EachVersion(t, func(t *testing.T, version string) {
		t.Parallel() // etcd measures the round trip to a peer half a minute after the start
		cluster := harness.Start(t, version, localcluster.Config{Size: 3, ExtraArgs: []string{"--metrics=extensive"}})
		r := statusRun(t, cluster.Endpoints(), "{cluster_name: prod, collection_interval: 500ms}")
		useEverything(t, cluster, r)

		want := map[string]bool{}
		for name, metric := range promised.Metrics {
			if strings.HasSuffix(metric.Description, "(eBPF).") || strings.HasSuffix(metric.Description, "(watch).") {
				continue // of other roads: test/trace has them
			}
			want[name] = true
		}
		for name := range handwritten {
			want[name] = true
		}
		arrived := map[string]bool{}
		deadline := time.Now().Add(60 * time.Second)
		for batches := 0; len(arrived) < len(want) && time.Now().Before(deadline); {
			all := r.Metrics()
			for _, batch := range all[batches:] {
				for _, p := range statusPoints(batch) {
					arrived[p.metric.Name()] = true
					promised.check(t, p)
				}
			}
			batches = len(all)
			time.Sleep(50 * time.Millisecond)
		}
		assert.Equal(t, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(arrived)))
	})
}

// useEverything makes a cluster count all it can count.
func useEverything(t *testing.T, cluster *localcluster.Cluster, r statusReceiver) {
	ctx := contextFor(t, 2*time.Minute)
	client := newClient(t, cluster)
	watching := client.Watch(ctx, "k")
	go func() { // ends with ctx, which ends with the test
		for range watching { //nolint:revive // what it sees does not matter
		}
	}()
	lease, err := client.Grant(ctx, 60)
	require.NoError(t, err)
	var revision int64
	for range 5 {
		_, err = client.Put(ctx, "k", "v", clientv3.WithLease(lease.ID))
		require.NoError(t, err)
		_, err = client.Get(ctx, "k")
		require.NoError(t, err)
		_, err = client.Txn(ctx).Then(clientv3.OpPut("t", "1"), clientv3.OpPut("u", "1")).Commit()
		require.NoError(t, err)
		deleted, err := client.Delete(ctx, "k")
		require.NoError(t, err)
		revision = deleted.Header.Revision
	}
	_, err = client.Compact(ctx, revision)
	require.NoError(t, err)

	// A message to a peer that is not there is a failure to send.
	leader, followers := roles(t, cluster)
	require.NoError(t, followers[0].Kill())
	waitFor(t, "a failure to send", func() bool {
		_, ok := r.last("etcd.network.peer.send.failures", leader.Name, hexID(followers[0].ID))
		return ok
	})
	require.NoError(t, followers[0].Restart(ctx))
}

// check compares the form of a point with what was promised.
func (c contract) check(t *testing.T, p statusPoint) {
	t.Helper()
	name := p.metric.Name()
	for key := range p.resource {
		require.Contains(t, c.ResourceAttributes, key, "resource of %s", name)
	}
	require.False(t, p.time.IsZero(), "%s has no time", name)
	attributes, byHand := handwritten[name]
	if byHand {
		require.Equal(t, pmetric.MetricTypeHistogram, p.metric.Type(), name)
		require.Equal(t, "s", p.metric.Unit(), name)
		require.Equal(t, pmetric.AggregationTemporalityCumulative, p.metric.Histogram().AggregationTemporality(), name)
		require.Positive(t, p.value, "%s without any count", name)
		c.checkAttributes(t, p, attributes)
		return
	}
	d, ok := c.Metrics[name]
	require.True(t, ok, "%s is not declared", name)
	require.Equal(t, d.Unit, p.metric.Unit(), name)
	require.Equal(t, d.Description, p.metric.Description(), name)
	c.checkAttributes(t, p, d.Attributes)
	valueType := ""
	switch {
	case d.Sum != nil:
		require.Equal(t, pmetric.MetricTypeSum, p.metric.Type(), name)
		require.Equal(t, d.Sum.Monotonic, p.metric.Sum().IsMonotonic(), name)
		require.Equal(t, pmetric.AggregationTemporalityCumulative, p.metric.Sum().AggregationTemporality(), name)
		require.False(t, p.start.After(p.time), "%s starts after its time", name)
		valueType = d.Sum.ValueType
	case d.Gauge != nil:
		require.Equal(t, pmetric.MetricTypeGauge, p.metric.Type(), name)
		valueType = d.Gauge.ValueType
	default:
		t.Fatalf("%s is declared neither as a sum nor as a gauge", name)
	}
	want := map[string]pmetric.NumberDataPointValueType{"int": pmetric.NumberDataPointValueTypeInt, "double": pmetric.NumberDataPointValueTypeDouble}
	require.Equal(t, want[valueType], p.kind, name)
}

func (c contract) checkAttributes(t *testing.T, p statusPoint, want []string) {
	t.Helper()
	require.ElementsMatch(t, want, slices.Collect(maps.Keys(p.attrs)), "attributes of %s", p.metric.Name())
	for key, value := range p.attrs {
		require.NotEmpty(t, value, "%s of %s", key, p.metric.Name())
		if enum := c.Attributes[key].Enum; len(enum) > 0 {
			require.Contains(t, enum, value, "%s of %s", key, p.metric.Name())
		}
	}
}
