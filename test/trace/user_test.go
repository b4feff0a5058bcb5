// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/receiver/trace"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// Goroutines are used again: what one of them served for a user, and what did not
// become a record, must not name the user of what it serves next.
func TestARequestWithoutAUserIsNeverTheUsersBefore(t *testing.T) {
	cluster := harness.Start(t, "3.6", localcluster.Config{ExtraArgs: []string{"--bcrypt-cost=4"}})
	require.NoError(t, cluster.EnableAuth(t.Context(), rootPassword))
	settings := everything(pids(cluster)...)
	settings.Mode = trace.ModeWrites // reads do not become records
	tr := follow(t, cluster, settings, rootPassword)
	tr.awaitTraced(t, cluster.Members()[0].PID())

	var both sync.WaitGroup
	root, nobody := call(t, cluster, cluster.Members()[0], nil), call(t, cluster, cluster.Members()[0], nil)
	root.is(t, "root", rootPassword)
	tr.awaitUsersOf(t, root)
	const requests = 2000
	both.Go(func() {
		for range requests {
			_, err := pb.NewKVClient(root.ClientConn).Range(t.Context(), &pb.RangeRequest{Key: []byte("/a"), Serializable: true})
			assert.NoError(t, err)
		}
	})
	both.Go(func() {
		for range requests {
			_, err := pb.NewKVClient(nobody.ClientConn).Put(t.Context(), &pb.PutRequest{Value: []byte("no key")})
			assert.Error(t, err)
		}
	})
	both.Wait()
	of := func() (n int, users map[string]int) {
		users = map[string]int{}
		for _, r := range tr.Records() {
			if r.port() == nobody.port {
				n++
				users[r.text("user.name")]++
			}
		}
		return n, users
	}
	waitFor(t, "all failures", func() bool { n, _ := of(); return n == requests })
	_, users := of()
	assert.Equal(t, map[string]int{"": requests}, users)
}
