// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
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
	if status, err := conn.Status(ctx); err == nil && mendedDelete.in(status.Version) {
		return compacted - 1
	}
	return compacted
}
