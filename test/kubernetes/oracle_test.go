// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package kubernetes holds what the receiver tells of objects of Kubernetes against
// a real API server and against apimachinery.
package kubernetes

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	"github.com/etcdreceiver/etcdreceiver/internal/golden"
	"github.com/etcdreceiver/etcdreceiver/internal/kube"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

const needle = "needle-in-the-secret"

func hasNeedle(b []byte) bool { shown, _ := harness.Shows(b, needle); return shown }

// stored is a key and its value as the API server wrote them.
type stored struct {
	Key   string
	Value []byte
}

// objectsFile is what `make kubernetes-testdata` writes.
func objectsFile() string { return golden.Path("kubernetes/objects.json") }

// recorded are values that a real API server has written.
func recorded(t *testing.T) (objects []stored) {
	raw, err := os.ReadFile(objectsFile())
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &objects))
	return objects
}

// oracle reads a value with apimachinery: into its own type where its API is
// compiled in, else what all objects have.
func oracle(t *testing.T, value []byte) (metav1.TypeMeta, metav1.Object) {
	raw, isProtobuf := bytes.CutPrefix(value, []byte("k8s\x00"))
	if !isProtobuf {
		var u unstructured.Unstructured
		require.NoError(t, u.UnmarshalJSON(value))
		return metav1.TypeMeta{APIVersion: u.GetAPIVersion(), Kind: u.GetKind()}, &u
	}
	var unknown runtime.Unknown
	require.NoError(t, unknown.Unmarshal(raw))
	typeMeta := metav1.TypeMeta{APIVersion: unknown.APIVersion, Kind: unknown.Kind}
	scheme := runtime.NewScheme()
	require.NoError(t, corev1.AddToScheme(scheme))
	require.NoError(t, appsv1.AddToScheme(scheme))
	if gvk := typeMeta.GroupVersionKind(); scheme.Recognizes(gvk) {
		typed, _, err := serializer.NewCodecFactory(scheme).UniversalDeserializer().Decode(value, nil, nil)
		require.NoError(t, err)
		object, err := meta.Accessor(typed)
		require.NoError(t, err)
		return typeMeta, object
	}
	var partial metav1.PartialObjectMetadata
	require.NoError(t, partial.Unmarshal(unknown.Raw))
	return typeMeta, &partial
}

func TestTheDecoderReadsWhatApimachineryReads(t *testing.T) {
	counts := map[string]int{}
	for _, o := range recorded(t) {
		t.Run(strings.TrimPrefix(o.Key, "/registry/"), func(t *testing.T) {
			key, ok := kube.ParseKey([]byte(strings.TrimPrefix(o.Key, "/registry/")))
			require.True(t, ok)
			got, ok := kube.ParseObject(o.Value)
			if provider := kube.Encryption(o.Value); provider != "" {
				counts[provider]++
				assert.True(t, strings.HasPrefix(string(o.Value), "k8s:enc:"+provider+":"))
				assert.False(t, ok)
				return
			}
			counts[string(o.Value[:1])]++
			require.True(t, ok)
			typeMeta, object := oracle(t, o.Value)
			newest := metav1.ManagedFieldsEntry{Time: &metav1.Time{}}
			for _, entry := range object.GetManagedFields() {
				if !entry.Time.Before(newest.Time) {
					newest = entry
				}
			}
			for _, field := range []struct {
				name, want string
				got        []byte
			}{
				{"apiVersion", typeMeta.APIVersion, got.APIVersion},
				{"kind", typeMeta.Kind, got.Kind},
				{"group", typeMeta.GroupVersionKind().Group, got.Group()},
				{"namespace", object.GetNamespace(), got.Namespace},
				{"name", object.GetName(), got.Name},
				{"uid", string(object.GetUID()), got.UID},
				{"manager", newest.Manager, got.Manager},
				{"operation", string(newest.Operation), got.Operation},
			} {
				assert.Equal(t, field.want, string(field.got), field.name)
			}
			if object.GetName() != "" { // a range of allocated numbers has none
				assert.Equal(t, object.GetName(), string(key.Name), "name in the key")
				assert.Equal(t, object.GetNamespace(), string(key.Namespace), "namespace in the key")
			}
			if len(key.Group) > 0 {
				assert.Equal(t, typeMeta.GroupVersionKind().Group, string(key.Group), "group in the key")
			}
			guessed, _ := meta.UnsafeGuessKindToResource(typeMeta.GroupVersionKind())
			switch typeMeta.Kind {
			case "RangeAllocation", "Endpoints", "EndpointSlice": // the guess is wrong for some, and the first has no resource
			default:
				assert.Equal(t, guessed.Resource, string(key.Resource), "resource in the key")
			}
		})
	}
	assert.Greater(t, counts["k"], 30, "protobuf")
	assert.Greater(t, counts["{"], 3, "JSON")
	for _, provider := range []string{"aescbc", "aesgcm", "secretbox"} {
		assert.Equal(t, 1, counts[provider], provider)
	}
}

func TestTheRecordedSecretsHaveTheNeedle(t *testing.T) {
	secrets := 0
	for _, o := range recorded(t) {
		if strings.HasPrefix(o.Key, "/registry/secrets/") {
			secrets++
			assert.True(t, hasNeedle(o.Value), o.Key)
		}
	}
	assert.Equal(t, 1, secrets)
}
