// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/receiver/trace"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
	"github.com/etcdreceiver/etcdreceiver/test/kernels/guest"
)

// syncingEtcd is an etcd that syncs, is traced, and is left alone by others.
type syncingEtcd struct {
	t       *testing.T
	member  *localcluster.Member
	client  *clientv3.Client
	tls     *localcluster.TLS // nil: none
	tracing *tracing
}

// startSyncing starts an etcd with its data in dir. Syncs of slow and longer become
// records.
func startSyncing(t *testing.T, dir string, slow time.Duration) *syncingEtcd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cluster, err := localcluster.Start(ctx, localcluster.Config{
		Binary: harness.Binary(t, "3.6"), Dir: dir, ExtraArgs: []string{"--snapshot-count=100000"},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Close()) })
	client, err := cluster.Client()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	e := &syncingEtcd{t: t, member: cluster.Members()[0], client: client}
	e.tracing = follow(t, cluster, trace.Settings{
		Mode: trace.ModeNone, Disk: true, SlowSync: slow, SlowRequest: time.Hour, RingBytes: 8 << 20,
		Rescan: 100 * time.Millisecond, Interval: 100 * time.Millisecond, PIDs: pids(cluster),
	}, "")
	e.tracing.awaitTraced(t, e.member.PID())
	return e
}

func (e *syncingEtcd) put(size int) time.Duration {
	e.t.Helper()
	began := time.Now()
	_, err := e.client.Put(e.t.Context(), "key", strings.Repeat("x", size))
	require.NoError(e.t, err)
	return time.Since(began)
}

// syncs are the records of the syncs of one type of file.
func (e *syncingEtcd) syncs(fileType string) []record {
	return slices.DeleteFunc(e.tracing.Records(), func(r record) bool {
		return r.event != "etcd.disk.sync" || r.text("etcd.file.type") != fileType
	})
}

// measured is how many syncs there were and how long they took together.
type measured struct {
	count int
	sum   time.Duration
}

func (m measured) since(before measured) measured {
	return measured{m.count - before.count, m.sum - before.sum}
}

// disk is what both sides have measured so far: we, and etcd itself.
type disk struct {
	wal, backend, other measured
	etcdWAL             measured // and of its folder, at a rotation
	etcdBackend         measured // commits: two syncs each, and the writes before them
	grown               int      // how often the backend may have grown, which is a sync more
}

func (d disk) since(before disk) disk {
	return disk{
		d.wal.since(before.wal), d.backend.since(before.backend), d.other.since(before.other),
		d.etcdWAL.since(before.etcdWAL), d.etcdBackend.since(before.etcdBackend), d.grown - before.grown + 1,
	}
}

// restful is how long a disk is at rest between two syncs that belong together.
var restful = 500 * time.Millisecond

func init() {
	if guest.Inside() {
		restful = 2 * time.Second
	}
}

// settled waits until nothing is synced any more.
func (e *syncingEtcd) settled() disk {
	e.t.Helper()
	var last disk
	waitFor(e.t, "a disk at rest", func() bool {
		before := last
		last = e.look()
		time.Sleep(restful)
		return last == before && last == e.look()
	})
	return last
}

func (e *syncingEtcd) look() (d disk) {
	e.t.Helper()
	own := e.scrape()
	d.etcdWAL = measured{int(own["etcd_disk_wal_fsync_duration_seconds_count"]), seconds(own["etcd_disk_wal_fsync_duration_seconds_sum"])}
	d.etcdBackend = measured{int(own["etcd_disk_backend_commit_duration_seconds_count"]), seconds(own["etcd_debugging_disk_backend_commit_write_duration_seconds_sum"])}
	d.grown = int(own["etcd_mvcc_db_total_size_in_bytes"]) / (16 << 20) // bbolt.DefaultOptions.AllocSize
	d.wal, d.backend, d.other = e.tracing.measuredSyncs("wal"), e.tracing.measuredSyncs("backend"), e.tracing.measuredSyncs("other")
	return d
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// scrape reads the metrics of etcd that have no labels.
func (e *syncingEtcd) scrape() map[string]float64 {
	e.t.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	if e.tls != nil {
		client.Transport = &http.Transport{TLSClientConfig: e.tls.Config()}
	}
	defer client.CloseIdleConnections()
	response, err := client.Get(e.member.ClientURL + "/metrics")
	require.NoError(e.t, err)
	defer func() { _ = response.Body.Close() }()
	all := map[string]float64{}
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok {
			all[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	return all
}

func (tr *tracing) measuredSyncs(fileType string) (m measured) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, rm := range tr.metrics.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, metric := range sm.Metrics().All() {
				if metric.Name() != "etcd.disk.sync.duration" {
					continue
				}
				for _, dp := range metric.Histogram().DataPoints().All() {
					if is, _ := dp.Attributes().Get("etcd.file.type"); is.Str() == fileType {
						m = measured{int(dp.Count()), seconds(dp.Sum())}
					}
				}
			}
		}
	}
	return m
}

// agree holds what we measured against what etcd did: no sync missing, none of one
// file taken for one of the other.
func agree(t *testing.T, d disk) {
	t.Helper()
	countsAgree(t, d, 0)
	slack := func(m measured) float64 { return float64(m.sum/20 + time.Duration(m.count)*time.Millisecond) }
	assert.InDelta(t, d.etcdWAL.sum, d.wal.sum+d.other.sum, slack(d.etcdWAL), "time of the WAL's syncs")
	assert.LessOrEqual(t, float64(d.backend.sum), float64(d.etcdBackend.sum)+slack(d.etcdBackend), "a sync is a part of the commit")
}

// countsAgree leaves out how long they took. So often the kernel did not run a
// program, so that a sync may be missing.
func countsAgree(t *testing.T, d disk, missed int) {
	t.Helper()
	t.Logf("syncs of the WAL: %d in %s, and %d of its folder in %s; says etcd: %d in %s", d.wal.count, d.wal.sum, d.other.count, d.other.sum, d.etcdWAL.count, d.etcdWAL.sum)
	t.Logf("syncs of the backend: %d in %s; says etcd: %d commits that wrote for %s", d.backend.count, d.backend.sum, d.etcdBackend.count, d.etcdBackend.sum)
	assert.InDelta(t, d.etcdWAL.count, d.wal.count+d.other.count, float64(missed), "syncs of the WAL")
	assert.GreaterOrEqual(t, d.backend.count, 2*d.etcdBackend.count-missed, "syncs of the backend")
	assert.LessOrEqual(t, d.backend.count, 2*d.etcdBackend.count+d.grown, "syncs of the backend")
}

func TestASlowSyncNamesItsFileAndWhoElseWrote(t *testing.T) {
	slow := newSlowDisk(t)
	e := startSyncing(t, slow.dir, 100*time.Millisecond)
	e.put(1) // the size of a sync is known from the second on
	before := e.settled()
	const size, speed = 1200 << 10, 1 << 20 // 1.2 s
	slow.limit(e.member.PID(), speed)

	type writer struct {
		pid          int
		began, ended time.Time
	}
	for tries, told := 0, 0; told < 3; tries++ {
		require.Less(t, tries, 12, "syncs during which another process began to write, and ended")
		known, knownBackend := len(e.syncs("wal")), len(e.syncs("backend"))
		noise := make(chan writer)
		go func() {
			time.Sleep(300 * time.Millisecond) // the sync is under way, and is for a while
			w := writer{began: time.Now()}
			dd := exec.Command("dd", "if=/dev/zero", "of="+filepath.Join(slow.dir, "noise"), "bs=1M", "count=16")
			if assert.NoError(t, dd.Run()) {
				w.pid, w.ended = dd.Process.Pid, time.Now()
			}
			noise <- w
		}()
		took := e.put(size)
		other := <-noise
		require.NotZero(t, other.pid, "dd")
		waitFor(t, "the slow sync of the WAL", func() bool { return len(e.syncs("wal")) > known })
		waitFor(t, "the slow sync of the backend", func() bool { return len(e.syncs("backend")) > knownBackend })
		wal := e.syncs("wal")[known:]
		require.Len(t, wal, 1)
		t.Log(wal[0].body)
		duration := seconds(wal[0].attrs["etcd.sync.duration"].(float64))
		assert.Equal(t, e.openWAL(), wal[0].text("file.name"))
		assert.Less(t, duration, took, "what the client waited for")
		assert.InDelta(t, size, wal[0].attrs["etcd.sync.size"], 4<<10)
		assert.Greater(t, duration.Seconds(), 0.8*size/speed, "what the disk was slowed down to")
		if other.began.After(wal[0].start) && other.ended.Before(wal[0].start.Add(duration)) { // unless the machine stood still
			assert.Contains(t, wal[0].attrs["etcd.disk.writers"], fmt.Sprintf("dd[%d] 16 MiB", other.pid))
			told++
		}
		assert.NotContains(t, wal[0].body, "etcd", "itself is no other")
		assert.NotContains(t, wal[0].body, "kworker", "who hands over what was held back has not written it")
	}
	for _, r := range e.syncs("backend") {
		t.Log(r.body)
		assert.Equal(t, "db", r.text("file.name"))
		assert.NotContains(t, r.body, "kworker")
	}
	agree(t, e.settled().since(before))
}

// openWAL is the segment that etcd writes: the last one that it has open.
func (e *syncingEtcd) openWAL() (last string) {
	e.t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", e.member.PID())
	fds, err := os.ReadDir(dir)
	require.NoError(e.t, err)
	for _, fd := range fds {
		if path, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && strings.HasSuffix(path, ".wal") {
			last = max(last, filepath.Base(path))
		}
	}
	return last
}

func TestWALAndBackendAreNeverMixedUpWhileTheWALRotates(t *testing.T) {
	for name, start := range map[string]func(*testing.T) *syncingEtcd{
		"on a slow ext4": func(t *testing.T) *syncingEtcd {
			slow := newSlowDisk(t)
			e := startSyncing(t, slow.dir, time.Nanosecond)
			slow.limit(e.member.PID(), 40<<20)
			return e
		},
		"on a file system without tracepoints": func(t *testing.T) *syncingEtcd {
			return startSyncing(t, memoryDir(t), time.Nanosecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := start(t)
			before := e.settled()
			known := len(e.tracing.Records())
			truth := map[string]bool{e.openWAL(): true}
			for len(truth) < 4 { // three rotations
				e.put(1 << 20)
				truth[e.openWAL()] = true
			}
			for range 10 {
				e.put(1 << 10)
			}
			after := e.settled().since(before)
			agree(t, after)
			e.checkNames(e.tracing.Records()[known:], truth, after)
		})
	}
}

// memoryDir is a folder on a tmpfs.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "syncs-")
	if err != nil {
		harness.NotHere(t, "no tmpfs: "+err.Error())
	}
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

// checkNames: truth are the segments that etcd had open.
func (e *syncingEtcd) checkNames(records []record, truth map[string]bool, d disk) {
	e.t.Helper()
	byName := map[string]int{}
	byType := map[string]int{}
	var order []string // of the segments
	for _, r := range records {
		name := r.text("file.name")
		byName[name]++
		byType[r.text("etcd.file.type")]++
		switch r.text("etcd.file.type") {
		case "wal":
			if name == "0.tmp" || name == "1.tmp" {
				continue
			}
			assert.True(e.t, truth[name], "%s was never open", name)
			if len(order) == 0 || order[len(order)-1] != name {
				order = append(order, name)
			}
		case "backend":
			assert.Equal(e.t, "db", name)
		default:
			assert.Contains(e.t, []string{"wal", "snap", "member"}, name)
		}
	}
	e.t.Log(byType, byName)
	assert.True(e.t, slices.IsSorted(order), "the WAL only goes on: %v", order)
	assert.Len(e.t, order, len(truth))
	assert.Equal(e.t, d.wal.count, byType["wal"], "records and histogram")
	assert.Equal(e.t, d.backend.count, byType["backend"], "records and histogram")
	assert.Empty(e.t, e.tracing.Lost())
}
