// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

func TestCollectorConfigConnectsClusterAndSink(t *testing.T) {
	var config struct {
		Receivers struct {
			Etcd struct{ Endpoints []string }
		}
		Exporters struct {
			OTLP struct{ Endpoint string } `yaml:"otlp_grpc"`
		}
	}
	endpoints := []string{"http://127.0.0.1:1", "http://127.0.0.1:2"}
	require.NoError(t, yaml.Unmarshal(collectorConfig(endpoints, "127.0.0.1:3"), &config))
	assert.Equal(t, endpoints, config.Receivers.Etcd.Endpoints)
	assert.Equal(t, "127.0.0.1:3", config.Exporters.OTLP.Endpoint)
}
