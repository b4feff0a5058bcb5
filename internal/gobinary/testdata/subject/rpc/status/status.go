// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package status has a type that is called like one of another package.
package status

import api "example.com/subject/api/status"

// Status wraps the other Status.
type Status struct {
	s *api.Status
}
