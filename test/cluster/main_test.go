// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package cluster tests the receiver against real etcd clusters.
package cluster

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
