// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"time"
	"unsafe"
)

// internals are the words of a time.Time, as a probe finds them in etcd.
func internals(t time.Time) (wall, ext uint64) {
	words := (*[2]uint64)(unsafe.Pointer(&t))
	return words[0], words[1]
}
