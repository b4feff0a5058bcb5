// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package etcdreceiver

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

type named = map[string]struct{ Unit, Description string }

func readMetadata(t *testing.T) (contract struct {
	Attributes         named
	ResourceAttributes named `yaml:"resource_attributes"`
	Metrics            named
	Telemetry          struct{ Metrics named }
},
) {
	t.Helper()
	raw, err := os.ReadFile("metadata.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(raw, &contract))
	return contract
}

// The checks of the semantic conventions reject it, and stores with nested fields
// cannot hold both.
func TestAnAttributeNameIsNeverANamespaceOfAnother(t *testing.T) {
	contract := readMetadata(t)
	var names []string
	for _, group := range []named{contract.Attributes, contract.ResourceAttributes} {
		for name := range group {
			names = append(names, name)
		}
	}
	for _, a := range names {
		for _, b := range names {
			assert.False(t, strings.HasPrefix(b, a+"."), "%s is a namespace of %s", a, b)
		}
	}
}

// In Prometheus naming the unit 1 makes a gauge a ratio.
func TestUnitsAreNeverOne(t *testing.T) {
	contract := readMetadata(t)
	for _, group := range []named{contract.Metrics, contract.Telemetry.Metrics} {
		require.NotEmpty(t, group)
		for name, metric := range group {
			assert.True(t, metric.Unit == "s" || metric.Unit == "By" || strings.HasPrefix(metric.Unit, "{"), "%s has the unit %q", name, metric.Unit)
		}
	}
}

func TestNothingOfOursLiesBelowAForeignNamespace(t *testing.T) {
	contract := readMetadata(t)
	for name := range contract.Metrics {
		assert.True(t, strings.HasPrefix(name, "etcd."), name)
	}
	for name := range contract.Telemetry.Metrics {
		assert.True(t, strings.HasPrefix(name, "receiver_etcd_"), name)
	}
}
