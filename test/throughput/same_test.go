// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package throughput

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A comparison of costs is fair only if all make the same of a change.
func TestAllContendersMakeTheSameRecords(t *testing.T) {
	s := startServer(t)
	ctx := context.Background()
	lease, err := s.client.Grant(ctx, 600)
	require.NoError(t, err)
	first := s.transactions(t, 3) - 2
	s.transactions(t, 3)
	_, err = s.client.Put(ctx, "leased", "v", clientv3.WithLease(lease.ID))
	require.NoError(t, err)
	for _, key := range []string{"leased", key(1)} {
		_, err = s.client.Delete(ctx, key)
		require.NoError(t, err)
	}
	last := s.revision(t)
	const events = 603
	all := map[string][]flat{}
	for _, c := range converted {
		n := newCounter(first, last, events)
		var mu sync.Mutex
		stop := c.run(t, s, first, func(ctx context.Context, logs plog.Logs) error {
			mu.Lock()
			all[c.name] = append(all[c.name], flatten(logs)...)
			mu.Unlock()
			return n.consume(ctx, logs)
		})
		n.wait(t, 30*time.Second)
		stop()
		require.Len(t, all[c.name], events)
	}
	for _, c := range converted[1:] {
		assert.Equal(t, all[ours.name], all[c.name], c.name)
	}
}

// flat is all that a record says, but for the time at which it was observed.
type flat struct {
	resource, attributes    map[string]any
	scope, version          string
	event, body, severities string
	observed                bool
}

func flatten(logs plog.Logs) []flat {
	var out []flat
	for _, rl := range logs.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				out = append(out, flat{
					resource: rl.Resource().Attributes().AsRaw(), attributes: lr.Attributes().AsRaw(),
					scope: sl.Scope().Name(), version: sl.Scope().Version(), event: lr.EventName(), body: lr.Body().AsString(),
					severities: fmt.Sprint(lr.SeverityNumber(), lr.SeverityText(), lr.Timestamp()), observed: lr.ObservedTimestamp() != 0,
				})
			}
		}
	}
	return out
}
