// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/require"
)

// LinksInto counts the links of all processes that put probes into this one.
func LinksInto(t *testing.T, pid int) (n int) {
	t.Helper()
	all := &link.Iterator{}
	defer all.Close()
	for all.Next() {
		info, err := all.Link.Info()
		if err != nil {
			continue // it has ended
		}
		if probes := info.UprobeMulti(); probes != nil {
			if into, _ := probes.Pid(); int(into) == pid {
				n++
			}
		}
	}
	require.NoError(t, all.Err())
	return n
}

// AwaitNoLinksInto waits until there are none. A collector of another test that looks
// into each etcd may have some for a moment: it leaves what is not its own.
func AwaitNoLinksInto(t *testing.T, pid int) {
	t.Helper()
	for began := time.Now(); LinksInto(t, pid) > 0; time.Sleep(20 * time.Millisecond) {
		require.Less(t, time.Since(began), patience, "probes are still in process %d", pid)
	}
}
