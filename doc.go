// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package etcdreceiver is an OpenTelemetry Collector receiver that turns an etcd
// cluster into OTLP.
//
// Three roads lead through it, one package each:
//
//   - receiver/watch: key changes -> log records
//   - receiver/status: members and cluster -> metrics, and events as log records
//   - receiver/trace: requests, read from the kernel -> log records and metrics
//
// This package is what ocb imports: the factory, the configuration (generated
// from metadata.yaml, checked in config.go) and the life cycle that all roads
// share. ARCHITECTURE.md has the map.
package etcdreceiver
