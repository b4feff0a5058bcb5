// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"errors"
	"reflect"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/gobinary"
)

// applied finds where a member applies a write, and where it tells its watchers of
// the revision that it made.
func (f *finder) applied() {
	err := func() error {
		apply, err := f.function(fnEntryApplied)
		if errors.Is(err, errNoFunction) { // before 3.6
			apply, err = f.function(fnEntryAppliedOld)
		}
		if err != nil {
			return err
		}
		b := &f.x.binary
		if wrapper, err := f.file.Type("apply.InternalRaftRequestWrapper"); err == nil {
			if entry, ok := wrapper.Field("InternalRaftRequest"); !ok || entry.Offset != 0 {
				return errors.New("apply.InternalRaftRequestWrapper does not begin with the entry")
			}
			b.EntryWrapped = 1
		}
		f.setKind(&err, &b.EntryHeader, "etcdserverpb.InternalRaftRequest", "Header", reflect.Pointer)
		f.setKind(&err, &b.EntryPut, "etcdserverpb.InternalRaftRequest", "Put", reflect.Pointer)
		f.setKind(&err, &b.EntryDelete, "etcdserverpb.InternalRaftRequest", "DeleteRange", reflect.Pointer)
		f.setKind(&err, &b.EntryTxn, "etcdserverpb.InternalRaftRequest", "Txn", reflect.Pointer)
		f.setKind(&err, &b.EntryRevoke, "etcdserverpb.InternalRaftRequest", "LeaseRevoke", reflect.Pointer)
		f.setKind(&err, &b.EntryGrant, "etcdserverpb.InternalRaftRequest", "LeaseGrant", reflect.Pointer)
		f.setKind(&err, &b.HeaderId, "etcdserverpb.RequestHeader", "ID", words...)
		f.setKind(&err, &b.HeaderUser, "etcdserverpb.RequestHeader", "Username", reflect.String)
		f.setKind(&err, &b.RevokeId, "etcdserverpb.LeaseRevokeRequest", "ID", words...)
		f.setKind(&err, &b.GrantId, "etcdserverpb.LeaseGrantRequest", "ID", words...)
		if err != nil {
			return err
		}
		notify, err := f.function(fnWatchersTold)
		if err != nil {
			return err
		}
		revoke, err := f.function(fnLeaseRevoking)
		if err != nil {
			return err
		}
		var probes [3]bpf.Probe
		for i, in := range []struct {
			function gobinary.Function
			addr     *uint64
		}{{apply, &b.EntryApplied}, {notify, &b.WatchersTold}, {revoke, &b.LeaseRevoking}} {
			if probes[i], *in.addr, err = f.placeIn(bpf.WriteMet, in.function); err != nil {
				return err
			}
		}
		f.x.applied = probes[:]
		return nil
	}()
	if err != nil {
		f.lack("member and user of changes that other members served", err)
	}
}
