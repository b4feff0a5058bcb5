// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"maps"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Config is what scenarios change of the collector's configuration.
type Config struct {
	Dir       string // for the file
	Endpoints []string
	Sink      string
	Storage   string         // directory; empty for none
	Receiver  map[string]any // further options of the receiver
	Watch     map[string]any // options below watch
	Limiter   map[string]any // of the memory_limiter; nil for none
}

// YAML is the collector's file. There is no queue between receiver and sink: what the sink takes is what the
// receiver knows to be delivered.
func (c *Config) YAML(run int) ([]byte, error) {
	receiver := map[string]any{
		"endpoints":        c.Endpoints,
		"timeout":          "1s",
		"retry_on_failure": map[string]any{"initial_interval": "50ms", "max_interval": "300ms"},
		"labels":           map[string]any{runLabel: strconv.Itoa(run)},
		"status":           map[string]any{"enabled": false},
		"ebpf":             map[string]any{"mode": "disabled"},
		"discover_members": false,
		"watch":            c.Watch,
	}
	maps.Copy(receiver, c.Receiver)
	pipeline := map[string]any{"receivers": []string{"etcd"}, "exporters": []string{"otlp_grpc"}}
	service := map[string]any{
		"telemetry": map[string]any{"metrics": map[string]any{"level": "none"}},
		"pipelines": map[string]any{"logs": pipeline},
	}
	all := map[string]any{
		"receivers": map[string]any{"etcd": receiver},
		"exporters": map[string]any{"otlp_grpc": map[string]any{
			"endpoint":         c.Sink,
			"tls":              map[string]any{"insecure": true},
			"compression":      "none",
			"timeout":          "10m", // a held request is not sent twice
			"sending_queue":    map[string]any{"enabled": false},
			"retry_on_failure": map[string]any{"enabled": false},
		}},
		"service": service,
	}
	if c.Storage != "" {
		receiver["storage"] = "file_storage"
		all["extensions"] = map[string]any{"file_storage": map[string]any{"directory": c.Storage, "create_directory": true, "fsync": true}}
		service["extensions"] = []string{"file_storage"}
	}
	if c.Limiter != nil {
		all["processors"] = map[string]any{"memory_limiter": c.Limiter}
		pipeline["processors"] = []string{"memory_limiter"}
	}
	text, err := yaml.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("write the configuration: %w", err)
	}
	return text, nil
}
