// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// The ranges of self-checks are not told. Their key is no secret.
func TestNobodyHidesBehindTheNameOfASelfCheck(t *testing.T) {
	cluster := harness.Start(t, "3.6", localcluster.Config{})
	tr := follow(t, cluster, everything(pids(cluster)...), "")
	tr.awaitTraced(t, pids(cluster)...)
	c := call(t, cluster, cluster.Members()[0], nil)
	kv, name := pb.NewKVClient(c.ClientConn), []byte("\x00etcdreceiver self-check x")
	_, err := kv.Put(t.Context(), &pb.PutRequest{Key: name})
	require.NoError(t, err)
	_, err = kv.Range(t.Context(), &pb.RangeRequest{Key: name, RangeEnd: []byte{0}})
	require.NoError(t, err)
	_, err = kv.DeleteRange(t.Context(), &pb.DeleteRangeRequest{Key: name, RangeEnd: []byte{0}})
	require.NoError(t, err)
	waitFor(t, "all three", func() bool {
		told := map[string]bool{}
		for _, r := range tr.Records() {
			if r.port() == c.port {
				told[r.text("db.operation.name")] = true
			}
		}
		return told["put"] && told["range"] && told["delete_range"]
	})
}
