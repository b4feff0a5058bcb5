// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package etcdclient

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestErrorTypeAndDenialOfEveryKindOfError(t *testing.T) {
	for name, tc := range map[string]struct {
		err    error
		want   string
		denied bool
	}{
		"none":                     {nil, "", false},
		"a status":                 {status.Error(codes.ResourceExhausted, "x"), "ResourceExhausted", false},
		"permission":               {status.Error(codes.PermissionDenied, "etcdserver: permission denied"), "PermissionDenied", true},
		"no user":                  {status.Error(codes.InvalidArgument, "etcdserver: user name is empty"), "InvalidArgument", true},
		"another bad argument":     {status.Error(codes.InvalidArgument, "etcdserver: key is not provided"), "InvalidArgument", false},
		"a wrong password":         {fmt.Errorf("connect to a:1: %w", rpctypes.ErrAuthFailed), "InvalidArgument", true},
		"an expired token":         {fmt.Errorf("connect to a:1: %w", rpctypes.ErrInvalidAuthToken), "Unauthenticated", true},
		"a deadline":               {context.DeadlineExceeded, "DeadlineExceeded", false},
		"the end":                  {context.Canceled, "Canceled", false},
		"something below":          {errors.New("connection refused"), "Unavailable", false},
		"a status that is wrapped": {fmt.Errorf("watch: %w", status.Error(codes.Unavailable, "x")), "Unavailable", false},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, ErrorType(tc.err))
			assert.Equal(t, tc.denied, IsDenied(tc.err))
		})
	}
}
