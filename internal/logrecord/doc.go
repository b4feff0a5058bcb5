// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package logrecord is the one place that knows how the receiver's events look
// as OTLP log records: names, attributes, severities and the sentence in the
// body. metadata.yaml declares the same events; a test compares the two.
//
// Records are appended here and not through the generated LogsBuilder, because
// that keeps a list for each kind of event and so loses the order of changes.
package logrecord
