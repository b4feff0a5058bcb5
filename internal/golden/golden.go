// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package golden compares what a test made with a file under testdata/golden:
// OTLP as JSON, so that every byte of a record counts, names, order and times
// included. `go test ./... -update` writes the files anew; review the diff.
package golden

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// Updating tells whether files are written and not compared with.
func Updating() bool { return *update }

// Logs compares logs with testdata/golden/name.json.
func Logs(t *testing.T, name string, logs plog.Logs) {
	t.Helper()
	raw, err := (&plog.JSONMarshaler{}).MarshalLogs(logs)
	require.NoError(t, err)
	compare(t, name, raw)
}

// Metrics compares metrics with testdata/golden/name.json.
func Metrics(t *testing.T, name string, metrics pmetric.Metrics) {
	t.Helper()
	raw, err := (&pmetric.JSONMarshaler{}).MarshalMetrics(metrics)
	require.NoError(t, err)
	compare(t, name, raw)
}

func compare(t *testing.T, name string, raw []byte) {
	t.Helper()
	var got bytes.Buffer
	require.NoError(t, json.Indent(&got, raw, "", "  "))
	Text(t, name+".json", got.Bytes())
}

// Text compares a text, without its last end of line, with testdata/golden/name.
func Text(t *testing.T, name string, text []byte) {
	t.Helper()
	text = append(bytes.Clone(text), '\n')
	file := Path(filepath.Join("golden", name))
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, text, 0o644))
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "run `go test ./... -update` once for a new golden file")
	assert.Equal(t, string(want), string(text), "%s differs; if that is meant, run `go test ./... -update` and review the diff", name)
}

// Path gives the place of a file below testdata.
func Path(name string) string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "..", "testdata", name)
}
