// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/etcdreceiver/etcdreceiver/internal/gobinary"
)

// The functions of etcd that are looked for, by how their names end after a slash. No
// version has all of them.
const (
	fnServed          = "etcdserver/api/v3rpc.logUnaryRequestStats"
	fnBegun           = "etcdserver/api/v3rpc.newLogUnaryInterceptor.func1"
	fnAnswered        = "google.golang.org/grpc.(*Server).sendResponse"
	fnStatusAsked     = "google.golang.org/grpc/internal/status.(*Error).GRPCStatus"
	fnContextAsked    = "google.golang.org/grpc/status.FromContextError"
	fnUserAsked       = "etcdserver.(*EtcdServer).AuthInfoFromCtx"
	fnWatchCreated    = "etcdserver/api/v3rpc.(*serverWatchStream).isWatchPermitted"
	fnWatchCanceled   = "mvcc.(*watchStream).Cancel"
	fnWatchClosed     = "mvcc.(*watchStream).Close"
	fnLeaseRenewed    = "etcdserver.(*EtcdServer).LeaseRenew"
	fnLeaseRevoking   = "etcdserver/api/v3rpc.(*LeaseServer).LeaseRevoke"
	fnSnapshotBegun   = "etcdserver/api/v3rpc.(*maintenanceServer).Snapshot"
	fnRangeBegun      = "etcdserver/api/v3rpc.(*kvServer).RangeStream"
	fnEntryApplied    = "etcdserver/apply.(*uberApplier).dispatch"
	fnEntryAppliedOld = "etcdserver.(*applierV3backend).Apply" // before 3.6
	fnWatchersTold    = "mvcc.(*watchableStore).notify"
	fnHandshakeLogged = "embed.logTLSHandshakeFailure" // of 3.4

	// fnHandshakeLogger is in names of closures, with what Go makes of them behind it.
	fnHandshakeLogger = "/embed.(*Config).setupLogging."
)

var functionNames = []string{
	fnServed, fnBegun, fnAnswered, fnStatusAsked, fnContextAsked, fnUserAsked, fnWatchCreated, fnWatchCanceled, fnWatchClosed,
	fnLeaseRenewed, fnLeaseRevoking, fnSnapshotBegun, fnRangeBegun, fnEntryApplied, fnEntryAppliedOld, fnWatchersTold, fnHandshakeLogged,
}

// lookedFor tells whether a function is one of these. It sees 50,000 names of each
// executable, so the last bytes, by which they differ, are looked at first. A closure
// ends in a digit.
func lookedFor(name []byte) bool {
	if len(name) < tailBytes {
		return false
	}
	if suffix, ok := byTail[string(name[len(name)-tailBytes:])]; ok && isCalled(string(name), suffix) {
		return true
	}
	last := name[len(name)-1]
	return '0' <= last && last <= '9' && bytes.Contains(name, []byte(fnHandshakeLogger))
}

const tailBytes = 5

var byTail = func() map[string]string {
	all := map[string]string{}
	for _, name := range functionNames {
		all[name[len(name)-tailBytes:]] = name
	}
	return all
}()

func isCalled(name, suffix string) bool {
	rest, ok := strings.CutSuffix(name, suffix)
	return ok && (rest == "" || strings.HasSuffix(rest, "/"))
}

// all are the functions that are looked for.
func (f *finder) all() (_ []gobinary.Function, err error) {
	if f.functions == nil {
		f.functions, err = f.file.Functions(lookedFor)
	}
	return f.functions, err
}

var errNoFunction = errors.New("there is no function")

// function is the only one that is called so.
func (f *finder) function(suffix string) (gobinary.Function, error) {
	if !slices.Contains(functionNames, suffix) {
		return gobinary.Function{}, fmt.Errorf("%s is not among functionNames: this is a defect of the receiver", suffix)
	}
	all, err := f.all()
	if err != nil {
		return gobinary.Function{}, err
	}
	found := slices.DeleteFunc(slices.Clone(all), func(function gobinary.Function) bool { return !isCalled(function.Name, suffix) })
	switch {
	case len(found) == 0:
		return gobinary.Function{}, fmt.Errorf("%w %s", errNoFunction, suffix)
	case len(found) > 1:
		return gobinary.Function{}, fmt.Errorf("there are %d functions %s", len(found), suffix)
	}
	return found[0], nil
}
