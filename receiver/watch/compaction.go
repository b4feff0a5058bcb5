// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"fmt"
	"time"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
)

// versionTimeout bounds the question for a member's etcd version, which is asked
// once per compaction gap.
const versionTimeout = 2 * time.Second

// lastMissing is the last revision of which changes are missing after a
// compaction. The compacted revision itself is still served (measured), but a
// server that forgets deletes there may have lost some of it: then it counts as
// missing too, and so it does where the version cannot be learned.
func lastMissing(ctx context.Context, compacted int64, conn *etcdclient.Conn) int64 {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	if status, err := conn.Status(ctx); err == nil && keepsDelete(status.Version) {
		return compacted - 1
	}
	return compacted
}

// keepsDelete tells whether etcd of that version keeps, and serves, a delete whose
// revision is the compacted one: since 3.5.18 and 3.6.0. Of 3.4 it is not known
// which release does.
//
// Source: etcd issues 18089 and 19179; 3.4.23, 3.5.35, 3.6.16 and 3.7.3 measured.
func keepsDelete(version string) bool {
	var major, minor, patch int
	if n, _ := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); n < 3 {
		return false
	}
	switch {
	case major != 3:
		return major > 3
	case minor == 5:
		return patch >= 18
	}
	return minor > 5
}
