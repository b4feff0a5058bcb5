// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// Process is one of this host. The zero Process: it is not known.
type Process struct {
	Name string // as the kernel has it, at most 15 bytes
	PID  uint32 // 0 if the collector's own name space does not have it
}

// String is the name and the id: dd[4711].
func (p Process) String() string {
	if p.PID == 0 {
		return printable([]byte(p.Name))
	}
	return printable([]byte(p.Name)) + "[" + strconv.FormatUint(uint64(p.PID), 10) + "]"
}

// putClient tells which process a client is.
func (p Process) putClient(attrs pcommon.Map) {
	if p.Name != "" {
		putText(attrs, "etcd.client.process.name", printable([]byte(p.Name)))
	}
	if p.PID != 0 {
		attrs.PutInt("etcd.client.process.pid", int64(p.PID))
	}
}
