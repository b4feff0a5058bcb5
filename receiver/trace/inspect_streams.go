// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"fmt"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/gobinary"
)

// streams finds where requests on streams begin.
func (f *finder) streams(emits func(*operation) bool) {
	b := &f.x.binary
	b.WatchStream, b.Watchers = bpf.None, bpf.None
	var notCreated error
	for i, at := range []struct {
		kind     uint64
		program  bpf.Program
		function string
	}{
		{bpf.StreamWatch, bpf.WatchCreated, "etcdserver/api/v3rpc.(*serverWatchStream).isWatchPermitted"},
		{bpf.StreamKeepAlive, bpf.LeaseRenewed, "etcdserver.(*EtcdServer).LeaseRenew"},
		{bpf.StreamSnapshot, bpf.SnapshotBegun, "etcdserver/api/v3rpc.(*maintenanceServer).Snapshot"},
		{bpf.StreamRange, bpf.RangeStreamBegun, "etcdserver/api/v3rpc.(*kvServer).RangeStream"},
		{bpf.StreamCancel, bpf.WatchCanceled, "mvcc.(*watchStream).Cancel"},
		{bpf.StreamClose, bpf.WatchClosed, "mvcc.(*watchStream).Close"},
	} {
		o := &streams[i]
		if at.kind == bpf.StreamRange {
			if _, err := f.function(at.function); err != nil {
				continue // new in 3.7
			}
		}
		var err error
		if at.kind == bpf.StreamClose && notCreated != nil {
			err = fmt.Errorf("without %s: %w", streams[0].name, notCreated)
		} else {
			err = f.probeFunction(at.program, at.function)
		}
		if err != nil {
			if at.kind == bpf.StreamWatch {
				notCreated = err
			}
			f.lack(o.name, err)
			continue
		}
		var request *gobinary.Type
		if o.request != "" {
			if request, err = f.file.Type(o.request); err != nil {
				f.lack("request of "+o.name, err)
			}
		}
		f.x.operations[bpf.OperationKey{Type: at.kind}] = f.operation(o, uint8(len(unary)+i+1), request, emits(o))
	}
	var err error
	if f.set(&err, &b.WatchStream, "v3rpc.serverWatchStream", "gRPCStream"); err != nil {
		f.lack("client.address of watches", err)
	}
	if f.set(&err, &b.Watchers, "v3rpc.serverWatchStream", "watchStream"); err != nil {
		f.lack("watch_close, and client.address of watch_cancel", err)
	}
}
