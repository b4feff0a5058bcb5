// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

func TestNothingOfAKubernetesSecretLeavesTheHost(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		c := harness.Start(t, version, localcluster.Config{})
		client := newClient(t, c)
		var needles []string
		secret := func(protobuf bool) string {
			needles = append(needles, fmt.Sprintf("needle-%03d-in-a-secret", len(needles)))
			return harness.KubernetesSecret(needles[len(needles)-1], protobuf)
		}
		keys := []string{
			"/registry/secrets/default/s", "/kubernetes.io/secrets/default/s", "/openshift.io/secrets/default/s",
			"/vcluster/registry/secrets/default/s", "/registry/example.com/secrets/default/s",
		}
		write := func(suffix string) (last int64) {
			for _, key := range keys {
				watchPut(t, client, key+suffix, secret(true))
				last = watchPut(t, client, key+suffix, secret(false)) // the first one is its previous value
			}
			return last
		}
		write("-existing")

		configs := []string{
			"{initial_snapshot: true, on_compaction: resync, kubernetes_prefixes: [/vcluster/registry/], value: {policy: text, max_bytes: 0, redact: {keys: []}}}",
			"{initial_snapshot: true, on_compaction: snapshot, kubernetes_prefixes: [/registry/, /vcluster/registry/], kubernetes: enabled, value: {policy: base64, max_bytes: 0, redact: {keys: []}}}",
			"{initial_snapshot: true, on_compaction: resync, kubernetes_prefixes: [/vcluster/], kubernetes: disabled, value: {policy: text, max_bytes: 0, redact: {keys: ['/vcluster/registry/secrets']}}}",
		}
		outputs, gates, receivers := make([]watchOutput, len(configs)), make([]watchGate, len(configs)), make([]*harness.Receiver, len(configs))
		for i, config := range configs {
			receivers[i] = watchRun(t, watchYAML(c.Endpoints(), "watch: "+config), 1, func(logs plog.Logs) error {
				if err := outputs[i].take(logs); err != nil {
					return err
				}
				return gates[i].answer(logs)
			})
		}
		everywhere := func(key string, revision int64) {
			for _, r := range receivers {
				watchArrived(t, r, revision, key)
			}
		}

		write("-live")
		for _, key := range keys {
			_, err := client.Delete(testContext(t), key+"-live")
			require.NoError(t, err)
		}
		everywhere("/hay", watchPut(t, client, "/hay", "hay that anybody may see"))

		// A gap: what is written while nothing is accepted is compacted.
		for i := range gates {
			gates[i].closeUntilRefused(t, client, fmt.Sprintf("/stuck/%d", i))
		}
		require.NoError(t, c.Members()[0].Kill())
		require.NoError(t, c.Members()[0].Restart(testContext(t)))
		last := write("-resync")
		_, err := client.Compact(testContext(t), last, clientv3.WithCompactPhysical())
		require.NoError(t, err)
		for i := range gates {
			gates[i].closed.Store(false)
		}
		everywhere("/last", watchPut(t, client, "/last", "hay again"))

		for i, r := range receivers {
			assert.True(t, outputs[i].shows("hay that anybody may see"), "the search finds what is shown")
			arrived := map[string]int{}
			for _, change := range watchChanges(r) {
				arrived[change.key]++
			}
			for _, key := range keys {
				for suffix, times := range map[string]int{"-existing": 1, "-live": 3, "-resync": 1} {
					assert.GreaterOrEqual(t, arrived[key+suffix], times, "%s%s is among what was searched", key, suffix)
				}
			}
			require.Len(t, needles, 3*2*len(keys))
			for _, needle := range needles {
				assert.False(t, outputs[i].shows(needle), "%s: %s", configs[i], needle)
			}
			assert.False(t, outputs[i].shows("last-applied"), "nothing else of the values either")
			for _, entry := range r.Log.All() {
				assert.NotContains(t, fmt.Sprint(entry.Message, entry.ContextMap()), "needle-", "the receiver's own log")
			}
		}
	})
}

func TestChangesOfKubernetesObjectsSayWhichObject(t *testing.T) {
	c := harness.Start(t, "3.6", localcluster.Config{})
	client := newClient(t, c)
	const widget = `{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"managedFields":[{"manager":"kubectl-create","operation":"Update","time":"2026-01-02T03:04:05Z"}],"name":"w1","namespace":"shop","uid":"1b4e28ba-2fa1-11d2-883f-0016d3cca427"},"spec":{}}`
	all := map[string]any{
		"etcd.kubernetes.resource.type": "widgets", "etcd.kubernetes.resource.group": "example.com", "etcd.kubernetes.object.api_version": "example.com/v1",
		"etcd.kubernetes.object.kind": "Widget", "etcd.kubernetes.object.name": "w1", "etcd.kubernetes.object.uid": "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
		"etcd.kubernetes.manager.name": "kubectl-create", "etcd.kubernetes.manager.operation": "Update", "k8s.namespace.name": "shop",
	}
	for name, tc := range map[string]struct {
		watch string
		told  bool
	}{
		"default":               {"{}", true},
		"enabled":               {"{kubernetes: enabled}", true},
		"without values":        {"{value: {policy: none}}", true},
		"another prefix":        {"{kubernetes_prefixes: [/vcluster/registry/]}", false},
		"disabled":              {"{kubernetes: disabled}", false},
		"without previous keys": {"{prev_kv: false}", true},
	} {
		t.Run(name, func(t *testing.T) {
			r := watchRun(t, watchYAML(c.Endpoints(), "watch: "+tc.watch), 1, nil)
			const key = "/registry/example.com/widgets/shop/w1"
			watchPut(t, client, key, widget)
			_, err := client.Delete(testContext(t), key)
			require.NoError(t, err)
			watchArrived(t, r, watchPut(t, client, "/last", ""), "/last")
			for _, record := range watchRecords(r)[:2] {
				want := map[string]any{}
				if tc.told {
					want = all
				}
				if name == "without previous keys" && record.Name == "etcd.kv.delete" { // then it is the key that tells
					want = map[string]any{
						"etcd.kubernetes.resource.type": "widgets", "etcd.kubernetes.resource.group": "example.com",
						"etcd.kubernetes.object.name": "w1", "k8s.namespace.name": "shop",
					}
				}
				got := map[string]any{}
				for attribute, value := range record.Attrs {
					if strings.Contains(attribute, "kubernetes") || strings.HasPrefix(attribute, "k8s.") {
						got[attribute] = value
					}
				}
				assert.Equal(t, want, got, record.Name)
			}
		})
	}
}
