// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"regexp"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A watch is cancelled with a text, not with a status. etcd puts the text of the
// status there.
var statusText = regexp.MustCompile(`^rpc error: code = (\w+) desc = (.*)$`)

// cancelError turns the reason of a cancelled watch back into a gRPC status.
func cancelError(reason string) error {
	if m := statusText.FindStringSubmatch(reason); m != nil {
		for c := codes.Canceled; c <= codes.Unauthenticated; c++ {
			if c.String() == m[1] {
				return status.Error(c, m[2])
			}
		}
	}
	if reason == "" {
		reason = "etcd cancelled the watch without a reason"
	}
	return status.Error(codes.Unknown, reason)
}
