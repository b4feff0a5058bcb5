// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package status has a type that is called like one of another package.
package status

// Status has fields.
type Status struct {
	state   [5]int64
	Code    int32
	Message string
}
