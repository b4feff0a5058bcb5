// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"text/template"
)

// Values of keys are sent as text, so that the demo can show them to a debugger; the sink does not print them.
var collectorTemplate = template.Must(template.New("collector.yaml").Funcs(template.FuncMap{"json": toJSON}).Parse(
	`extensions:
  file_storage: {directory: {{json .Storage}}, create_directory: true, fsync: true}
receivers:
  etcd:
    endpoints: {{json .Endpoints}}
    cluster_name: demo
    collection_interval: 2s
    initial_delay: 100ms
    watch: {value: {policy: text}}
    storage: file_storage
exporters:
  otlp_grpc:
    endpoint: {{json .Sink}}
    tls: {insecure: true}
    sending_queue: {enabled: false}
service:
  extensions: [file_storage]
  telemetry: {logs: {level: info}, metrics: {level: none}}
  pipelines:
    logs: {receivers: [etcd], exporters: [otlp_grpc]}
    metrics: {receivers: [etcd], exporters: [otlp_grpc]}
`))

// collectorConfig is the collector's YAML: from the cluster to the sink, without a queue that could lose data, and with
// a folder for the position, from where it goes on after a crash.
func collectorConfig(endpoints []string, sink, storage string) []byte {
	var b bytes.Buffer
	// Cannot fail: a buffer takes everything and strings have a JSON form.
	_ = collectorTemplate.Execute(&b, struct {
		Endpoints     []string
		Sink, Storage string
	}{endpoints, sink, storage})
	return b.Bytes()
}

// toJSON writes a value as JSON, which YAML reads.
func toJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}
