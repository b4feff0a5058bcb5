// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

func TestCollectorConfigConnectsClusterSinkAndStorage(t *testing.T) {
	var config struct {
		Extensions struct {
			FileStorage struct{ Directory string } `yaml:"file_storage"`
		}
		Receivers struct {
			Etcd struct {
				Endpoints []string
				Storage   string
			}
		}
		Exporters struct {
			OTLP struct{ Endpoint string } `yaml:"otlp_grpc"`
		}
		Service struct{ Extensions []string }
	}
	endpoints := []string{"http://127.0.0.1:1", "http://127.0.0.1:2"}
	require.NoError(t, yaml.Unmarshal(collectorConfig(endpoints, "127.0.0.1:3", "/demo/storage"), &config))
	assert.Equal(t, endpoints, config.Receivers.Etcd.Endpoints)
	assert.Equal(t, "127.0.0.1:3", config.Exporters.OTLP.Endpoint)
	assert.Equal(t, "/demo/storage", config.Extensions.FileStorage.Directory)
	assert.Equal(t, "file_storage", config.Receivers.Etcd.Storage)
	assert.Equal(t, []string{"file_storage"}, config.Service.Extensions)
}
