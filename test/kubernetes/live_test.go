// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build apiserver

package kubernetes

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.yaml.in/yaml/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// request is a line of testdata/objects.yaml.
type request struct {
	Path, Patch, Manager string
	Object               map[string]any
}

func requests(t *testing.T) (all []request) {
	raw, err := os.ReadFile("testdata/objects.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(raw, &all))
	return all
}

// object is what a record tells of one.
type object struct{ APIVersion, Kind, Namespace, Name, UID, Manager, Operation string }

// The resource version of an object is the revision of its key, so each answer of
// the API server has one record.
func TestEachChangeSaysOfItsObjectWhatTheAPIServerAnswered(t *testing.T) {
	etcd := harness.Start(t, "3.6", localcluster.Config{})
	var mu sync.Mutex
	var output bytes.Buffer
	receiver := harness.New(t, "{endpoints: ["+etcd.Endpoints()[0]+"], watch: {value: {policy: text, max_bytes: 0, redact: {keys: []}}}}", true, false)
	receiver.RefuseLogs = func(logs plog.Logs) error {
		raw, err := (&plog.ProtoMarshaler{}).MarshalLogs(logs)
		mu.Lock()
		defer mu.Unlock()
		output.Write(raw)
		return err
	}
	receiver.Start(t)
	t.Cleanup(func() { receiver.Stop(t) })
	server := startAPIServer(t, etcd.Endpoints()[0])

	answers := map[int64]metadata{}
	for _, r := range requests(t) {
		m := server.store(t, &r)
		revision, err := strconv.ParseInt(m.Metadata.ResourceVersion, 10, 64)
		require.NoError(t, err)
		answers[revision] = m
	}
	records := map[int64]harness.Record{}
	server.await(t, "all changes arrive", func() bool {
		for _, record := range receiver.Records() {
			if record.Name == "etcd.kv.put" {
				records[record.Attrs["etcd.kv.mod_revision"].(int64)] = record
			}
		}
		return !slices.ContainsFunc(slices.Collect(maps.Keys(answers)), func(revision int64) bool { return records[revision].Name == "" })
	})
	managed := 0
	for revision, m := range answers {
		attrs := records[revision].Attrs
		key := attrs["etcd.key"]
		told := func(name string) string {
			text, _ := attrs[name].(string)
			return text
		}
		want := object{Name: m.Metadata.Name, Namespace: m.Metadata.Namespace}
		switch {
		case m.Kind == "Secret": // no more than the key says
		case m.Metadata.Name == "sealed":
			assert.Contains(t, []string{"aescbc", "aesgcm", "secretbox"}, told("etcd.kubernetes.encryption"), key)
		default:
			want.Kind, want.UID, want.APIVersion = m.Kind, m.Metadata.UID, m.APIVersion
			want.Manager, want.Operation = m.newest()
			if m.Kind == "CustomResourceDefinition" {
				want.APIVersion = "apiextensions.k8s.io/v1beta1" // it is still stored as that, in 1.36
			}
		}
		if want.Manager != "" {
			managed++
		}
		assert.Equal(t, want, object{
			APIVersion: told("etcd.kubernetes.object.api_version"), Kind: told("etcd.kubernetes.object.kind"),
			Namespace: told("k8s.namespace.name"), Name: told("etcd.kubernetes.object.name"), UID: told("etcd.kubernetes.object.uid"),
			Manager: told("etcd.kubernetes.manager.name"), Operation: told("etcd.kubernetes.manager.operation"),
		}, key)
	}
	assert.Greater(t, managed, 30)
	mu.Lock()
	assert.False(t, hasNeedle(output.Bytes()), "nothing of the Secret leaves")
	mu.Unlock()

	client, err := etcd.Client()
	require.NoError(t, err)
	defer func() { require.NoError(t, client.Close()) }()
	if os.Getenv("RECORD") != "" && !t.Failed() {
		record(t, client)
	}
}

// record keeps one value of each resource, ours where there is one.
func record(t *testing.T, client *clientv3.Client) {
	answer, err := client.Get(t.Context(), "/registry/", clientv3.WithPrefix())
	require.NoError(t, err)
	kept := map[string]stored{}
	for _, kv := range answer.Kvs {
		key := string(kv.Key)
		if strings.Contains(key, "apiserver-") {
			continue // the leases of the server itself name the host
		}
		resource := strings.TrimSuffix(filepath.Dir(key), "/shop")
		if old, ok := kept[resource]; !ok || ours(key) && !ours(old.Key) {
			kept[resource] = stored{key, kv.Value}
		}
	}
	objects := slices.SortedFunc(maps.Values(kept), func(a, b stored) int { return strings.Compare(a.Key, b.Key) })
	var text bytes.Buffer
	text.WriteString("[\n")
	for i, o := range objects {
		raw, err := json.Marshal(o)
		require.NoError(t, err)
		text.Write(raw)
		if i < len(objects)-1 {
			text.WriteString(",")
		}
		text.WriteString("\n")
	}
	text.WriteString("]\n")
	require.NoError(t, os.WriteFile(objectsFile(), text.Bytes(), 0o644))
	t.Logf("%d objects, %d bytes", len(objects), text.Len())
}

func ours(key string) bool {
	return slices.ContainsFunc([]string{"shop", "node-1", "example.com"}, func(s string) bool { return strings.Contains(key, s) })
}
