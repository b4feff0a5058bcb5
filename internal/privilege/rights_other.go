// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package privilege

// Nothing is traced there, so nothing needs a right.

func with(_ uint64, f func()) { f() }

func drop() (caps uint64, programs bool, err error) { return 0, false, nil }
