// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/golden"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/redact"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

var registry = Kubernetes{Prefixes: []string{"/registry/", "/kubernetes.io/", "/openshift.io/"}}

const (
	widgetValue = `{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"managedFields":[{"manager":"kubectl-create","operation":"Update","time":"2026-01-02T03:04:05Z"}],"name":"w1","namespace":"default","uid":"1b4e28ba-2fa1-11d2-883f-0016d3cca427"},"spec":{"password":"hunter2"}}`
	sealedValue = "k8s:enc:secretbox:v1:key1:\x00\xff"
)

// written is a change of a key of Kubernetes.
func written(key, value string) *Event {
	ev := put(value, "")
	ev.KV.Key, ev.KV.Lease, ev.HasPrev = []byte(key), 0, false
	return ev
}

// removed is its delete.
func removed(key, value string) *Event {
	ev := deletion(value)
	ev.KV.Key, ev.Prev.Key, ev.Prev.Lease = []byte(key), []byte(key), 0
	return ev
}

func inKubernetes(do func(*Format, *Batch)) func(*Format, *Batch) {
	return func(f *Format, b *Batch) {
		f.Kubernetes = registry
		do(f, b)
	}
}

var objects = map[string]func(*Format, *Batch){
	"put object": inKubernetes(func(_ *Format, b *Batch) {
		change(b, written("/registry/example.com/widgets/default/w1", widgetValue), 0)
	}),
	"put secret": inKubernetes(func(f *Format, b *Batch) {
		keys, _ := redact.Compile([]string{"^/registry/secrets/"})
		f.Values.Policy, f.Values.Keys = redact.Text, keys
		change(b, written("/registry/secrets/default/s", widgetValue), 0)
	}),
	"put encrypted": inKubernetes(func(_ *Format, b *Batch) { change(b, written("/registry/secrets/default/s", sealedValue), 0) }),
	"exists object": inKubernetes(func(_ *Format, b *Batch) {
		existing(b, written("/registry/example.com/widgets/default/w1", widgetValue), Snapshot)
	}),
	"delete object": inKubernetes(func(_ *Format, b *Batch) {
		change(b, removed("/registry/example.com/widgets/default/w1", widgetValue), 0)
	}),
	"delete encrypted": inKubernetes(func(_ *Format, b *Batch) { change(b, removed("/registry/secrets/default/s", sealedValue), 0) }),
	"delete object past the api server": inKubernetes(func(_ *Format, b *Batch) {
		sign(b, change(b, removed("/registry/example.com/widgets/default/w1", widgetValue), 0), &Author{
			Source: metadata.AttributeEtcdAuthorSourceRequest, Operation: "delete_range", Client: netip.MustParseAddrPort("127.0.0.1:50718"),
			Process: Process{"etcdctl", 4711}, Duration: 41800 * time.Microsecond,
		})
	}),
	"put object past the api server": inKubernetes(func(_ *Format, b *Batch) {
		sign(b, change(b, written("/registry/example.com/widgets/default/w1", widgetValue), 0), &Author{
			Source: metadata.AttributeEtcdAuthorSourceRequest, Operation: "txn", Client: netip.MustParseAddrPort("127.0.0.1:50718"),
			Process: Process{"etcdctl", 4711}, Duration: 41800 * time.Microsecond,
		})
	}),
	"delete object without prev": inKubernetes(func(_ *Format, b *Batch) {
		ev := removed("/registry/pods/default/web", "")
		ev.HasPrev = false
		change(b, ev, 0)
	}),
}

func init() { maps.Copy(samples, objects) }

// toldOf gives the attributes that are about an object, and the sentence.
func toldOf(k Kubernetes, ev *Event) (map[string]any, string) {
	f := &Format{Events: metadata.DefaultEventsConfig(), Body: true, Values: redact.Rules{Policy: redact.Size}, Kubernetes: k}
	b := f.NewBatch((&resource.Builder{}).Cluster(1), time.Now(), 1)
	change(b, ev, 0)
	lr := b.records.At(0)
	told := map[string]any{}
	for name, value := range lr.Attributes().All() {
		if strings.HasPrefix(name, "k8s.") || strings.HasPrefix(name, "etcd.kubernetes.") {
			told[name] = value.AsRaw()
		}
	}
	return told, lr.Body().Str()
}

func TestARecordSaysWhichObjectChanged(t *testing.T) {
	always := registry
	always.Always = true
	pod := map[string]any{"etcd.kubernetes.resource.type": "pods", "k8s.namespace.name": "default", "etcd.kubernetes.object.name": "web"}
	secret := map[string]any{"etcd.kubernetes.resource.type": "secrets", "k8s.namespace.name": "default", "etcd.kubernetes.object.name": "s"}
	sealed := maps.Clone(secret)
	sealed["etcd.kubernetes.encryption"] = "secretbox"
	widget := map[string]any{
		"etcd.kubernetes.resource.type": "widgets", "etcd.kubernetes.resource.group": "example.com",
		"etcd.kubernetes.object.api_version": "example.com/v1", "etcd.kubernetes.object.kind": "Widget",
		"etcd.kubernetes.object.name": "w1", "etcd.kubernetes.object.uid": "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
		"etcd.kubernetes.manager.name": "kubectl-create", "etcd.kubernetes.manager.operation": "Update", "k8s.namespace.name": "default",
	}
	without := func(ev *Event) *Event { ev.HasPrev = false; return ev }
	const widgetKey = "/registry/example.com/widgets/default/w1"
	for name, tc := range map[string]struct {
		kubernetes Kubernetes
		ev         *Event
		told       map[string]any
		sentence   string
	}{
		"object":                       {registry, written(widgetKey, widgetValue), widget, "put Widget default/w1 rev 12346 (267 B, version 2, manager kubectl-create)"},
		"object below another prefix":  {registry, written("/openshift.io/example.com/widgets/default/w1", widgetValue), widget, "put Widget default/w1 rev 12346 (267 B, version 2, manager kubectl-create)"},
		"deleted object":               {registry, removed(widgetKey, widgetValue), widget, "delete Widget default/w1 rev 12350 (was 267 B)"},
		"deleted, previous unknown":    {registry, without(removed("/registry/pods/default/web", "")), pod, "delete /registry/pods/default/web rev 12350"},
		"protobuf that is not decoded": {registry, written("/registry/pods/default/web", "k8s\x00\xff"), pod, "put /registry/pods/default/web rev 12346 (5 B, version 2)"},
		"plain value":                  {registry, written("/registry/pods/default/web", "10.0.0.1:80"), nil, "put /registry/pods/default/web rev 12346 (11 B, version 2)"},
		"plain value, always":          {always, written("/registry/pods/default/web", "10.0.0.1:80"), pod, "put /registry/pods/default/web rev 12346 (11 B, version 2)"},
		"secret, as from its key":      {registry, written("/registry/secrets/default/s", widgetValue), secret, "put /registry/secrets/default/s rev 12346 (267 B, version 2)"},
		"encrypted secret":             {registry, written("/registry/secrets/default/s", sealedValue), sealed, "put /registry/secrets/default/s rev 12346 (28 B, version 2)"},
		"key below no prefix":          {registry, written("/app/pods/default/web", widgetValue), nil, "put /app/pods/default/web rev 12346 (267 B, version 2)"},
		"key of another shape":         {registry, written("/registry/pods", widgetValue), nil, "put /registry/pods rev 12346 (267 B, version 2)"},
		"the prefix itself":            {registry, written("/registry/", widgetValue), nil, "put /registry/ rev 12346 (267 B, version 2)"},
		"no prefixes":                  {Kubernetes{}, written(widgetKey, widgetValue), nil, "put " + widgetKey + " rev 12346 (267 B, version 2)"},
	} {
		told, sentence := toldOf(tc.kubernetes, tc.ev)
		assert.Equal(t, tc.told, nilIfEmpty(told), name)
		assert.Equal(t, tc.sentence, sentence, name)
	}
}

func nilIfEmpty(m map[string]any) map[string]any {
	if len(m) == 0 {
		return nil
	}
	return m
}

// stored is a value that a real API server has written: `make kubernetes-testdata`.
type stored struct {
	Key   string
	Value []byte
}

func recorded(t testing.TB) []stored {
	raw, err := os.ReadFile(golden.Path("kubernetes/objects.json"))
	require.NoError(t, err)
	var objects []stored
	require.NoError(t, json.Unmarshal(raw, &objects))
	require.NotEmpty(t, objects)
	return objects
}

// Every Secret of the recorded ones has the needle in its data, and in the
// annotation in which kubectl apply repeats it.
func TestNoByteOfASecretLeavesWhateverThePolicySays(t *testing.T) {
	const needle = "needle-in-the-secret"
	keys, err := redact.Compile([]string{"^/registry/secrets/"})
	require.NoError(t, err)
	secrets := 0
	for _, o := range recorded(t) {
		if !strings.HasPrefix(o.Key, "/registry/secrets/") {
			continue
		}
		secrets++
		require.True(t, hasNeedle(o.Value, needle), "%s has no needle to find", o.Key)
		for _, policy := range []redact.Policy{redact.Text, redact.Base64} {
			f := &Format{Events: metadata.DefaultEventsConfig(), Body: true, Kubernetes: registry, Values: redact.Rules{Policy: policy, Keys: keys, Action: redact.Size}}
			b := f.NewBatch((&resource.Builder{}).Cluster(1), time.Now(), 3)
			ev := put(string(o.Value), string(o.Value))
			gone := deletion(string(o.Value))
			ev.KV.Key, gone.KV.Key = []byte(o.Key), []byte(o.Key)
			change(b, ev, 0)
			change(b, gone, 0)
			existing(b, ev, Resync)
			out, err := (&plog.ProtoMarshaler{}).MarshalLogs(b.Logs())
			require.NoError(t, err)
			assert.False(t, hasNeedle(out, needle), o.Key)
			assert.NotContains(t, string(out), "k8s\x00")
		}
	}
	assert.NotZero(t, secrets)
}

// hasNeedle looks for it as it is, and in base64 wherever it may begin there.
func hasNeedle(b []byte, needle string) bool {
	for shift := range 3 {
		in := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + needle + "xx"))
		if bytes.Contains(b, []byte(in[4:len(in)-8])) {
			return true
		}
	}
	return bytes.Contains(b, []byte(needle))
}

func TestWhoIsNoneOfTheRemoteAPIServersPassesThemWhateverHeDoes(t *testing.T) {
	name, nets, both := []string{"apiserver"}, []string{"10.0.0.0/24", "2001:db8::7"}, []string{"apiserver", "10.0.0.1"}
	from := func(address, subject string) Author {
		return Author{Operation: "txn", Client: netip.AddrPortFrom(netip.MustParseAddr(address), 5000), Subject: subject}
	}
	local := func(process string) Author {
		a := from("127.0.0.1", "apiserver")
		a.Process = Process{process, 1}
		return a
	}
	for what, tc := range map[string]struct {
		remote []string
		author Author
		direct any
	}{
		"nobody is named":                    {nil, from("10.0.0.9", "eve"), nil},
		"its name":                           {name, from("10.9.9.9", "apiserver"), nil},
		"another name":                       {name, from("10.9.9.9", "eve"), true},
		"a name that begins like it":         {name, from("10.9.9.9", "apiserver-2"), true},
		"no name, where names are known":     {name, from("10.9.9.9", ""), nil},
		"its network":                        {nets, from("10.0.0.255", "eve"), nil},
		"its network, as IPv6 has it":        {nets, from("::ffff:10.0.0.1", ""), nil},
		"its address":                        {nets, from("2001:db8::7", ""), nil},
		"another network":                    {nets, from("10.0.1.1", ""), true},
		"another network, whatever the name": {nets, from("10.0.1.1", "apiserver"), true},
		"on loopback, by networks alone":     {nets, from("127.0.0.1", "eve"), nil},
		"on loopback, with another name":     {both, from("127.0.0.1", "eve"), true},
		"another address":                    {nets, from("2001:db8::8", ""), true},
		"its name from another address":      {both, from("10.0.0.2", "apiserver"), nil},
		"its address with another name":      {both, from("10.0.0.1", "eve"), nil},
		"neither":                            {both, from("10.0.0.2", "eve"), true},
		"of another address, without a name": {both, from("10.0.0.2", ""), nil},
		"not even it puts":                   {both, Author{Operation: "put", Client: netip.MustParseAddrPort("10.0.0.1:1"), Subject: "apiserver"}, true},
		"of the raft log no client is known": {both, Author{Source: metadata.AttributeEtcdAuthorSourceRaft, Operation: "txn", User: "eve"}, nil},
		"the end of a lease":                 {both, Author{Operation: "lease_expire", LeaseID: 7, Client: netip.MustParseAddrPort("10.0.0.2:1"), Subject: "eve"}, nil},
		"a process of this host by its own":  {nets, local("kube-apiserver"), nil},
		"another one, with its certificate":  {name, local("etcdctl"), true},
	} {
		t.Run(what, func(t *testing.T) {
			k := Kubernetes{Prefixes: []string{"/registry/"}, APIServers: []string{"kube-apiserver"}, Always: true}
			for _, text := range tc.remote {
				require.NoError(t, k.Remote.Add(text))
			}
			f := &Format{Events: metadata.DefaultEventsConfig(), Kubernetes: k}
			b := f.NewBatch((&resource.Builder{}).Cluster(1), time.Now(), 1)
			change(b, written("/registry/pods/default/web", "x"), 0)
			b.Sign(0, &tc.author)
			assert.Equal(t, tc.direct, b.records.At(0).Attributes().AsRaw()["etcd.kubernetes.direct"])
		})
	}
}

func TestWhoPassesTheAPIServerIsToldAndNobodyElse(t *testing.T) {
	apiServer, other := Process{"kube-apiserver", 1}, Process{"etcdctl", 2}
	for name, tc := range map[string]struct {
		key    string
		author Author
		direct any
	}{
		"a put is none of an API server":       {key: "/registry/pods/default/web", author: Author{Operation: "put"}, direct: true},
		"nor is a delete":                      {key: "/registry/pods/default/web", author: Author{Operation: "delete_range"}, direct: true},
		"nor is a lease that is revoked":       {key: "/registry/pods/default/web", author: Author{Operation: "lease_revoke"}, direct: true},
		"not even from its own process":        {key: "/registry/pods/default/web", author: Author{Operation: "put", Process: apiServer}, direct: true},
		"a transaction may be":                 {key: "/registry/pods/default/web", author: Author{Operation: "txn"}},
		"a transaction of its process":         {key: "/registry/pods/default/web", author: Author{Operation: "txn", Process: apiServer}},
		"a transaction of another process":     {key: "/registry/pods/default/web", author: Author{Operation: "txn", Process: other}, direct: true},
		"an event ends with its lease":         {key: "/registry/events/default/e", author: Author{Operation: "lease_expire", LeaseID: 7}},
		"a key that is nothing of Kubernetes":  {key: "/config/a", author: Author{Operation: "put", Process: other}},
		"what nobody knows is not told":        {key: "/registry/pods/default/web", author: Author{}},
		"an unknown operation of another one":  {key: "/registry/pods/default/web", author: Author{Process: other}, direct: true},
		"a lock is nothing that it takes":      {key: "/registry/pods/default/web", author: Author{Operation: "lock"}, direct: true},
		"a transaction of an unknown process":  {key: "/registry/pods/default/web", author: Author{Operation: "txn", Client: netip.MustParseAddrPort("10.0.0.1:1")}},
		"a put of a remote client":             {key: "/registry/pods/default/web", author: Author{Operation: "put", Client: netip.MustParseAddrPort("10.0.0.1:1")}, direct: true},
		"the raft log alone tells a put":       {key: "/registry/pods/default/web", author: Author{Source: metadata.AttributeEtcdAuthorSourceRaft, Operation: "put"}, direct: true},
		"of its own transaction it tells none": {key: "/registry/pods/default/web", author: Author{Source: metadata.AttributeEtcdAuthorSourceRaft, Operation: "txn"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := &Format{Events: metadata.DefaultEventsConfig(), Body: true, Kubernetes: Kubernetes{
				Prefixes: []string{"/registry/"}, APIServers: []string{"kube-apiserver"}, Always: true,
			}}
			b := f.NewBatch((&resource.Builder{}).Cluster(1), time.Now(), 1)
			change(b, written(tc.key, "x"), 0)
			b.Sign(0, &tc.author)
			attrs := b.records.At(0).Attributes().AsRaw()
			assert.Equal(t, tc.direct, attrs["etcd.kubernetes.direct"])
			assert.Equal(t, tc.direct != nil, strings.HasSuffix(b.records.At(0).Body().Str(), ", past the API server"))
		})
	}
}
