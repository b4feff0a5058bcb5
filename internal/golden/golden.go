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
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
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

// Rows compares rows of a table in Markdown with testdata/golden/name. A run may have
// others than the file: those with the same first cell are compared, or written in
// this order. The file must have this title; those of its rows that have another number
// of columns are not written again.
func Rows(t *testing.T, name, title string, rows []string, order func(a, b string) int, update string) {
	t.Helper()
	t.Log("\n" + title + strings.Join(rows, ""))
	text, err := os.ReadFile(Path(filepath.Join("golden", name)))
	_, body, _ := strings.Cut(string(text), "|\n|---")
	_, body, _ = strings.Cut(body, "\n")
	known := map[string]string{}
	for line := range strings.Lines(body) {
		known[FirstCell(line)] = line
	}
	if Updating() {
		columns, _, _ := strings.Cut(title, "\n")
		maps.DeleteFunc(known, func(_, row string) bool { return strings.Count(row, "|") != strings.Count(columns, "|") })
		for _, row := range rows {
			known[FirstCell(row)] = row
		}
		Text(t, name, []byte(strings.TrimRight(title+strings.Join(slices.SortedFunc(maps.Values(known), order), ""), "\n")))
		return
	}
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(string(text), title), "%s has other columns; if that is meant, run `%s` and review the diff", name, update)
	for _, row := range rows {
		if was, ok := known[FirstCell(row)]; ok {
			assert.Equal(t, was, row, "%s differs; if that is meant, run `%s` and review the diff", name, update)
		} else {
			t.Logf("a row that is new: %s", FirstCell(row))
		}
	}
}

// FirstCell is what a row of a table is known by.
func FirstCell(row string) string { return strings.TrimSpace(strings.SplitN(row, "|", 3)[1]) }

// Path gives the place of a file below testdata.
func Path(name string) string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "..", "testdata", name)
}
