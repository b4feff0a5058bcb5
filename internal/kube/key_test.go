// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAKeySaysResourceGroupNamespaceAndName(t *testing.T) {
	for key, want := range map[string][4]string{
		"pods/default/web":                       {"pods", "", "default", "web"},
		"namespaces/default":                     {"namespaces", "", "", "default"},
		"clusterroles/system:controller:ttl":     {"clusterroles", "", "", "system:controller:ttl"},
		"example.com/widgets/default/w1":         {"widgets", "example.com", "default", "w1"},
		"example.com/planets/mars":               {"planets", "example.com", "", "mars"},
		"configmaps/kube-system/a.b.c":           {"configmaps", "", "kube-system", "a.b.c"},
		"apiregistration.k8s.io/apiservices/v1.": {"apiservices", "apiregistration.k8s.io", "", "v1."},
		"services/specs/default/kubernetes":      {"services", "", "default", "kubernetes"},
		"services/endpoints/default/kubernetes":  {"endpoints", "", "default", "kubernetes"},
		"minions/node-1":                         {"nodes", "", "", "node-1"},
		"controllers/default/rc":                 {"replicationcontrollers", "", "default", "rc"},
		"ingress/default/i":                      {"ingresses", "", "default", "i"},
		"example.com/minions/default/m":          {"minions", "example.com", "default", "m"},
		"ranges/servicenodeports":                {"ranges", "", "", "servicenodeports"},
		"masterleases/10.0.0.1":                  {"masterleases", "", "", "10.0.0.1"},
		"secrets/default/\xff":                   {"secrets", "", "default", "\xff"},
	} {
		k, ok := ParseKey([]byte(key))
		assert.True(t, ok, key)
		assert.Equal(t, want, [4]string{string(k.Resource), string(k.Group), string(k.Namespace), string(k.Name)}, key)
	}
}

func TestAKeyOfAnotherShapeIsNotAnObjects(t *testing.T) {
	for _, key := range []string{
		"", "/", "pods", "pods/", "/pods/default/web", "pods//web", "pods/default/", "a/b/c/d", "example.com", "example.com/",
		"example.com/widgets", "example.com//w1", "services/specs", "services/specs/", "example.com/widgets/a/b/c",
	} {
		_, ok := ParseKey([]byte(key))
		assert.False(t, ok, key)
	}
}

func TestSecretsAreToldByTheirKey(t *testing.T) {
	for key, want := range map[string]bool{
		"secrets/default/s": true, "example.com/secrets/default/s": true,
		"configmaps/secrets/s": false, "pods/default/secrets": false, "secretstores/default/s": false,
	} {
		k, ok := ParseKey([]byte(key))
		assert.True(t, ok, key)
		assert.Equal(t, want, k.Secret(), key)
	}
}

func FuzzAKeyIsReadAsItWasMade(f *testing.F) {
	f.Add("example.com", "widgets", "default", "w1")
	f.Add("", "pods", "", "web")
	f.Fuzz(func(t *testing.T, group, resource, namespace, name string) {
		parts := []string{resource, name}
		if namespace != "" {
			parts = []string{resource, namespace, name}
		}
		custom := strings.Contains(group, ".")
		if custom {
			parts = append([]string{group}, parts...)
		}
		k, ok := ParseKey([]byte(strings.Join(parts, "/")))
		if ok {
			assert.NotEmpty(t, k.Resource)
			assert.NotEmpty(t, k.Name)
		}
		renames := []string{"controllers", "ingress", "minions", "services"}
		if name == "" || resource == "" || strings.Contains(group+resource+namespace+name, "/") ||
			!custom && (strings.Contains(resource, ".") || slices.Contains(renames, resource)) {
			return // no such key is written
		}
		assert.True(t, ok)
		assert.Equal(t, resource, string(k.Resource))
		assert.Equal(t, namespace, string(k.Namespace))
		assert.Equal(t, name, string(k.Name))
		assert.Equal(t, custom, len(k.Group) > 0)
	})
}
