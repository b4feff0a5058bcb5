// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
)

// clock is the time of day as all lines show it.
const clock = "15:04:05.000"

// eventLine shows a log record: time, event, and the sentence that the receiver wrote for people.
func eventLine(record plog.LogRecord, zone *time.Location) string {
	at := record.Timestamp()
	if at == 0 {
		at = record.ObservedTimestamp() // etcd keeps no time for a change
	}
	return fmt.Sprintf("%s  %-23s  %s", at.AsTime().In(zone).Format(clock), record.EventName(), record.Body().AsString())
}
