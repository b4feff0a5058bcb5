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
	met := bpf.RequestMet
	if f.old {
		met = bpf.OldMet
	}
	var notCreated error
	for i, at := range []struct {
		stream   uint8
		function string
	}{
		{bpf.StreamWatch, fnWatchCreated},
		{bpf.StreamKeepAlive, fnLeaseRenewed},
		{bpf.StreamSnapshot, fnSnapshotBegun},
		{bpf.StreamRange, fnRangeBegun},
		{bpf.StreamCancel, fnWatchCanceled},
		{bpf.StreamClose, fnWatchClosed},
	} {
		o := &streams[i]
		if at.stream == bpf.StreamRange {
			if _, err := f.function(at.function); err != nil {
				continue // new in 3.7
			}
		}
		var addr uint64
		var err error
		if at.stream == bpf.StreamClose && notCreated != nil {
			err = fmt.Errorf("without %s: %w", streams[0].name, notCreated)
		} else {
			addr, err = f.probeFunction(met, at.function)
		}
		if err != nil {
			if at.stream == bpf.StreamWatch {
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
		is := f.operation(o, uint8(len(unary)+i+1), request, emits(o))
		is.Stream = at.stream
		f.x.operations[bpf.OperationKey{Type: addr}] = is
	}
	var err error
	if f.set(&err, &b.WatchStream, "v3rpc.serverWatchStream", "gRPCStream"); err != nil {
		f.lack("client.address of watches", err)
	}
	if f.set(&err, &b.Watchers, "v3rpc.serverWatchStream", "watchStream"); err != nil {
		f.lack("watch_close, and client.address of watch_cancel", err)
	}
}
