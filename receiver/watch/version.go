// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"fmt"

	"go.uber.org/zap"
)

// mended says which patch releases of etcd 3.4 and 3.5 mended a fault, never where
// none is known to. From 3.6.0 on both faults below are mended.
type mended struct{ release34, release35 int }

const never = 1 << 30

var (
	// mendedDelete: a delete whose revision is the compacted one is kept and served.
	// Source: etcd issues 18089 and 19179; 3.4.23, 3.5.35, 3.6.16 and 3.7.3 measured.
	mendedDelete = mended{never, 18}
	// mendedProgress: a progress is announced only after the events before it.
	// Source: etcd issue 15220; 3.4.37 read in its source.
	mendedProgress = mended{37, 8}
)

// warnOfVersion tells once that this etcd may lose changes by itself.
func (s *session) warnOfVersion() {
	if s.version == "" || s.version == s.warned || mendedDelete.in(s.version) {
		return
	}
	s.warned = s.version
	s.Logger.Warn("this etcd has faults of its own that can lose changes of a watch (etcd issues 17529, 18089, 19179); they are mended in 3.5.18 and 3.6", zap.String("version", s.version))
}

// in tells whether the fault is mended in a version; not if the version cannot be
// read.
func (m mended) in(version string) bool {
	var major, minor, patch int
	if n, _ := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); n < 3 {
		return false
	}
	switch {
	case major != 3:
		return major > 3
	case minor == 4:
		return patch >= m.release34
	case minor == 5:
		return patch >= m.release35
	}
	return minor > 5
}
