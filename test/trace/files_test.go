// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/sys/unix"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// The kernel tells an inode then, and a segment of the WAL has another name when it
// is made.
func TestWithoutBTFASyncNamesItsFileAlsoWhenTheWALRotates(t *testing.T) {
	harness.NeedRoot(t)
	const without = "no BTF"
	if os.Getenv(inPlace) != without {
		goTo(t, without, place{0, nil})
		return
	}
	mountTracefs(t)
	mount(t, "none", "/sys/kernel/btf", "tmpfs", 0)
	dir := t.TempDir()
	var stat unix.Statfs_t
	if assert.NoError(t, unix.Statfs(dir, &stat)) && stat.Type != unix.EXT4_SUPER_MAGIC {
		harness.NotHere(t, "without BTF syncs are followed on ext4, and "+dir+" is on another file system")
	}
	e := startSyncing(t, dir, time.Nanosecond)
	segments := func() map[string]bool {
		names := map[string]bool{}
		for _, r := range e.syncs("wal") {
			names[r.text("file.name")] = true
		}
		delete(names, "0.tmp")
		delete(names, "1.tmp")
		return names
	}
	const segment = 64 << 20 // server/storage/wal/wal.go
	for sent := 0; sent < segment+8<<20; sent += 1 << 20 {
		e.put(1 << 20)
		time.Sleep(10 * time.Millisecond) // a new segment is seen within a second
	}
	waitFor(t, "syncs of two segments", func() bool { e.put(1); return len(segments()) >= 2 })
	for name := range segments() {
		assert.Equal(t, ".wal", filepath.Ext(name), "%q", name)
	}
	waitFor(t, "a sync of the backend", func() bool { return len(e.syncs("backend")) > 0 })
	for _, r := range e.syncs("backend") {
		assert.Equal(t, "db", r.text("file.name"))
	}
}

func TestWithoutBTFAndTracefsRequestsAreTracedAndEachOtherPartSaysWhatItLacks(t *testing.T) {
	harness.NeedRoot(t)
	const without = "no BTF, no tracefs"
	if os.Getenv(inPlace) != without {
		goTo(t, without, place{0, nil})
		return
	}
	mount(t, "none", "/sys/kernel/btf", "tmpfs", 0)
	placesToWork["no tracefs"].enter(t)
	cluster := harness.Start(t, "3.6", localcluster.Config{})
	settings := everything(pids(cluster)...)
	settings.Disk = true
	tr := follow(t, cluster, settings, "")
	tr.awaitTraced(t, pids(cluster)...)
	c := call(t, cluster, cluster.Members()[0], nil)
	_, err := pb.NewKVClient(c.ClientConn).Put(t.Context(), &pb.PutRequest{Key: []byte("/a")})
	require.NoError(t, err)
	waitFor(t, "the request", func() bool { return tr.toldPuts("/a") == 1 })
	const lacks = " map[error:this kernel has no BTF, by which its own data is read: /sys/kernel/btf/vmlinux is missing, and by tracefs: "
	assert.Contains(t, tr.logged(), "syncs of etcd's files are not followed; requests are"+lacks)
	assert.Contains(t, tr.logged(), "connections of etcd are not followed; requests are"+lacks)
	assert.Contains(t, tr.logged(), "an etcd that begins is found by the next rescan"+lacks)
}
