// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

// entry is one of managedFields.
type entry struct {
	manager, operation string
	seconds            int64
}

// object is all that is read of one.
type object struct {
	apiVersion, kind, namespace, name, uid string
	managers                               []entry
}

var web = object{
	"apps/v1", "Deployment", "default", "web", "6f1c3a52-4a0a-4b8e-9a52-0c9f1d3c2b1a",
	[]entry{{"kubectl", "Update", 1700000000}, {"controller", "Apply", 1700000002}, {"kubelet", "Update", 1700000001}},
}

const needle = "needle-in-the-object"

func (o *object) protobuf() []byte {
	str := func(b []byte, n protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), s)
	}
	meta := str(nil, metaName, o.name)
	meta = str(meta, 2, "generateName")
	meta = str(meta, metaNamespace, o.namespace)
	meta = str(meta, metaUID, o.uid)
	meta = protowire.AppendVarint(protowire.AppendTag(meta, 7, protowire.VarintType), 3)
	meta = str(meta, 12, needle) // an annotation
	for _, e := range o.managers {
		time := protowire.AppendVarint(protowire.AppendTag(nil, timeSeconds, protowire.VarintType), uint64(e.seconds))
		m := str(nil, entryManager, e.manager)
		m = str(m, entryOperation, e.operation)
		m = str(m, entryTime, string(time))
		meta = str(meta, metaManagedFields, string(str(m, 7, needle)))
	}
	typeMeta := str(str(nil, typeMetaAPIVersion, o.apiVersion), typeMetaKind, o.kind)
	raw := str(str(nil, objectMeta, string(meta)), 2, needle)
	return append(protobufMagic[:len(protobufMagic):len(protobufMagic)], str(str(nil, unknownTypeMeta, string(typeMeta)), unknownRaw, string(raw))...)
}

func (o *object) json(t testing.TB) []byte {
	var managers []map[string]any
	for _, e := range o.managers {
		managers = append(managers, map[string]any{
			"manager": e.manager, "operation": e.operation, "time": time.Unix(e.seconds, 0).UTC().Format(time.RFC3339),
			"fieldsV1": map[string]any{"f:spec": map[string]any{needle: []any{}}},
		})
	}
	value, err := json.Marshal(map[string]any{
		"apiVersion": o.apiVersion, "kind": o.kind, "spec": map[string]any{"a": needle}, "data": []any{needle, 1, nil, "\"}"},
		"metadata": map[string]any{
			"name": o.name, "namespace": o.namespace, "uid": o.uid, "annotations": map[string]any{"{\"]}\\": "}\"" + needle},
			"generation": 3, "managedFields": managers,
		},
	})
	require.NoError(t, err)
	return value
}

// read gives what of an object is read, the managers reduced to the newest.
func read(o Object) object {
	return object{
		string(o.APIVersion), string(o.Kind), string(o.Namespace), string(o.Name), string(o.UID),
		[]entry{{manager: string(o.Manager), operation: string(o.Operation)}},
	}
}

func TestAnObjectIsReadFromBothEnvelopesAndTheNewestManagerCounts(t *testing.T) {
	want := web
	want.managers = []entry{{manager: "controller", operation: "Apply"}}
	for name, value := range map[string][]byte{
		"protobuf":              web.protobuf(),
		"JSON":                  web.json(t),
		"JSON with white space": []byte(strings.NewReplacer(",", " ,\n", ":", "\t: ").Replace("{ \"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\",\"namespace\":\"default\",\"uid\":\"" + web.uid + "\",\"managedFields\":[{\"manager\":\"controller\",\"operation\":\"Apply\"}]}}")),
	} {
		o, ok := ParseObject(value)
		require.True(t, ok, name)
		assert.Equal(t, want, read(o), name)
		assert.Equal(t, "apps", string(o.Group()), name)
	}
}

func TestManagersOfTheSameSecondAreTakenInTheirOrder(t *testing.T) {
	o := web
	o.managers = []entry{{"first", "Update", 7}, {"second", "Apply", 7}}
	for name, value := range map[string][]byte{"protobuf": o.protobuf(), "JSON": o.json(t)} {
		got, ok := ParseObject(value)
		require.True(t, ok, name)
		assert.Equal(t, "second", string(got.Manager), name)
		assert.Equal(t, "Apply", string(got.Operation), name)
	}
}

func TestTheCoreGroupIsEmpty(t *testing.T) {
	assert.Empty(t, (&Object{APIVersion: []byte("v1")}).Group())
}

func TestWhatIsNoObjectIsNotRead(t *testing.T) {
	long := web
	long.name = strings.Repeat("n", maxString+1)
	nameless := web
	nameless.kind = ""
	for name, value := range map[string][]byte{
		"nothing":                nil,
		"text":                   []byte("plain"),
		"JSON without kind":      nameless.json(t),
		"JSON that ends":         web.json(t)[:40],
		"JSON in a list":         append([]byte("["), web.json(t)...),
		"JSON with a long name":  long.json(t),
		"JSON without values":    []byte("{\"apiVersion\":}"),
		"JSON with odd types":    []byte("{\"apiVersion\":1,\"kind\":{},\"metadata\":[]}"),
		"magic alone":            protobufMagic,
		"protobuf without kind":  nameless.protobuf(),
		"protobuf that ends":     web.protobuf()[:40],
		"protobuf, long name":    long.protobuf(),
		"protobuf with a group":  append(protobufMagic[:4:4], 0x0b, 0x0c),
		"length beyond the end":  append(protobufMagic[:4:4], 0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f),
		"longer than any object": append(web.protobuf(), make([]byte, maxValue)...),
	} {
		o, ok := ParseObject(value)
		assert.False(t, ok, name)
		assert.Zero(t, o, name)
	}
}

func TestReadingAnObjectAllocatesNothing(t *testing.T) {
	for name, value := range map[string][]byte{"protobuf": web.protobuf(), "JSON": web.json(t)} {
		assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = ParseObject(value) }), name)
	}
}

// FuzzParseObject: whatever the bytes are, it ends, and what it gives is short.
func FuzzParseObject(f *testing.F) {
	f.Add(web.protobuf())
	f.Add(web.json(f))
	f.Add([]byte("{\"metadata\":{\"managedFields\":[{}]}}"))
	f.Fuzz(func(t *testing.T, value []byte) {
		before := string(value)
		o, ok := ParseObject(value)
		require.Equal(t, before, string(value))
		for _, s := range [][]byte{o.APIVersion, o.Kind, o.Namespace, o.Name, o.UID, o.Manager, o.Operation} {
			require.LessOrEqual(t, len(s), maxString)
			require.True(t, ok || s == nil)
		}
	})
}

// FuzzAnObjectIsReadAsItWasEncoded: by encoding/json, and by protobuf's own encoder.
func FuzzAnObjectIsReadAsItWasEncoded(f *testing.F) {
	f.Add("apps/v1", "Deployment", "default", "web", "uid", "kubectl", "Update", int64(1700000000))
	f.Add("v1", "A\u00e9", "n\\", "\"}", "]", "<&>", "", int64(0))
	f.Fuzz(func(t *testing.T, apiVersion, kind, namespace, name, uid, manager, operation string, seconds int64) {
		valid := func(s string) string { return strings.ToValidUTF8(s, "?") } // encoding/json writes no other
		o := object{valid(apiVersion), valid(kind), valid(namespace), valid(name), valid(uid), []entry{{valid(manager), valid(operation), seconds & 0x7fffffff}}}
		want := o
		want.managers = []entry{{manager: o.managers[0].manager, operation: o.managers[0].operation}}
		good := o.apiVersion != "" && o.kind != ""
		for _, s := range []string{o.apiVersion, o.kind, o.namespace, o.name, o.uid, want.managers[0].manager, want.managers[0].operation} {
			good = good && len(s) <= maxString
		}
		for encoding, value := range map[string][]byte{"protobuf": o.protobuf(), "JSON": o.json(t)} {
			got, ok := ParseObject(value)
			require.Equal(t, good, ok, encoding)
			if ok {
				require.Equal(t, want, read(got), encoding)
			}
		}
	})
}

func BenchmarkParseObject(b *testing.B) {
	for _, tc := range []struct {
		name  string
		value []byte
	}{{"protobuf", web.protobuf()}, {"JSON", web.json(b)}, {"no object", []byte(fmt.Sprintf("%0100d", 1))}} {
		b.Run(tc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ParseObject(tc.value)
			}
		})
	}
}
