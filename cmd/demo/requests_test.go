// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
)

func request(operation, sentence string, seconds float64) plog.LogRecord {
	record := plog.NewLogRecord()
	record.SetEventName("etcd.request." + operation)
	record.Body().SetStr(sentence)
	record.Attributes().PutStr("db.operation.name", operation)
	record.Attributes().PutDouble("etcd.request.duration", seconds)
	return record
}

func TestRequestsAreCountedByOperationAndTheSlowestIsShown(t *testing.T) {
	var r requests
	r.arrived(request("put", "quick", 0.001), request("txn", "slow", 0.5), request("put", "middle", 0.1), plog.NewLogRecord())
	assert.Equal(t, []string{
		"requests   3 traced in the kernel: 2 put, 1 txn", "slowest    slow",
		"authors    0 of 0 changes say who made them; the others came while nobody looked",
	}, r.lines(nil))
}

func changeRecord(event, sentence, source string) plog.LogRecord {
	record := plog.NewLogRecord()
	record.SetEventName(event)
	record.Body().SetStr(sentence)
	if source != "" {
		record.Attributes().PutStr("etcd.author.source", source)
	}
	return record
}

func TestTheLastDeleteThatSaysWhoDidItIsShown(t *testing.T) {
	var r requests
	r.arrived(request("put", "a put", 0.001), changeRecord("etcd.kv.put", "put", "request"), changeRecord("etcd.kv.delete", "delete a by 10.0.0.1", "request"), changeRecord("etcd.kv.delete", "delete b", ""))
	assert.Equal(t, []string{
		"requests   1 traced in the kernel: 1 put", "slowest    a put",
		"authors    2 of 3 changes say who made them; the others came while nobody looked", "deleted    delete a by 10.0.0.1",
	}, r.lines(nil))
}

func TestWhyRequestsAreNotTracedIsTheCollectorsReason(t *testing.T) {
	log := filepath.Join(t.TempDir(), "collector.log")
	require.NoError(t, os.WriteFile(log, []byte("started\t{\"a\": 1}\n2026 info requests are not traced; changes and status are not affected\t{\"error\": \"the collector lacks CAP_BPF\"}\n"), 0o600))
	var r requests
	assert.Equal(t, []string{"requests   not traced: the collector lacks CAP_BPF"}, r.lines(func() string { return whyNotTraced(log) }))
	assert.Contains(t, whyNotTraced(filepath.Join(t.TempDir(), "gone")), "no such file")
}
