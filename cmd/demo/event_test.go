// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

func TestEventLineShowsTimeEventAndSentence(t *testing.T) {
	at := pcommon.NewTimestampFromTime(time.Date(2026, 1, 2, 11, 21, 16, 681e6, time.UTC))
	change := plog.NewLogRecord()
	change.SetEventName("etcd.kv.put")
	change.SetObservedTimestamp(at)
	change.Body().SetStr("put /config/db/host rev 12 (13 B, version 2)")
	assert.Equal(t, "11:21:16.681  etcd.kv.put              put /config/db/host rev 12 (13 B, version 2)", eventLine(change, time.UTC))

	lost := plog.NewLogRecord()
	lost.SetEventName("etcd.member.unreachable")
	lost.SetTimestamp(at)
	lost.SetObservedTimestamp(at + 5e9)
	lost.Body().SetStr("member n1 does not answer")
	assert.Equal(t, "11:21:16.681  etcd.member.unreachable  member n1 does not answer", eventLine(lost, time.UTC))
}
