// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/receiver/trace"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// often is how often something is done here: TRACE_CYCLES, or few.
func often(t *testing.T, few int) int {
	t.Helper()
	text := os.Getenv("TRACE_CYCLES")
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "TRACE_CYCLES: want how often, for example 500")
	return n
}

// footprint is what a process holds that could leak.
type footprint struct {
	Descriptors, Goroutines int
	Kernel                  map[string]int // programs, maps and links
}

func footprintOf(t *testing.T) footprint {
	t.Helper()
	return footprint{openFiles(t), runtime.NumGoroutine(), held(t)}
}

// leavesNothing waits until all is as it was.
func (before footprint) leavesNothing(t *testing.T) {
	t.Helper()
	var now footprint
	defer func() { t.Logf("before %+v, after %+v", before, now) }()
	waitFor(t, "nothing to be left", func() bool {
		now = footprintOf(t)
		return now.Descriptors <= before.Descriptors && now.Goroutines <= before.Goroutines && assert.ObjectsAreEqual(before.Kernel, now.Kernel)
	})
}

func TestACollectorThatComesAndGoesLeavesNothing(t *testing.T) {
	harness.NeedRoot(t)
	cluster := harness.Start(t, "3.6", localcluster.Config{})
	member := cluster.Members()[0]
	v := &visit{pid: member.PID(), endpoint: member.ClientURL, mode: trace.ModeAll, leaves: true}
	v.stay(t, patience) // and what is made once
	before, etcdBefore := footprintOf(t), len(descriptorsOf(t, member.PID()))
	own, its := residentMiB(t, os.Getpid()), residentMiB(t, member.PID())
	cycles, began := often(t, 10), time.Now()
	for range cycles {
		v.stay(t, patience)
	}
	took := time.Since(began)
	require.Equal(t, cycles+1, v.traces)
	before.leavesNothing(t)
	waitFor(t, "the end of all probes", func() bool { return harness.LinksInto(t, member.PID()) == 0 && isAsInFile(t, member.PID()) })
	waitFor(t, "etcd to close what was asked of it", func() bool { return len(descriptorsOf(t, member.PID())) <= etcdBefore })
	t.Logf("%d cycles in %s: memory %.0f -> %.0f MiB, of etcd %.0f -> %.0f MiB, its descriptors %d -> %d", cycles, took.Round(time.Second),
		own, residentMiB(t, os.Getpid()), its, residentMiB(t, member.PID()), etcdBefore, len(descriptorsOf(t, member.PID())))
}

func descriptorsOf(t *testing.T, pid int) []os.DirEntry {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	require.NoError(t, err)
	return all
}

// More of them than the programs have room for at a time.
func TestEtcdsThatComeAndGoLeaveNothingAndDisturbNobody(t *testing.T) {
	harness.NeedRoot(t)
	program := harness.ProgramApart(t, "3.6", "")
	config := localcluster.Config{Binary: program, ExtraArgs: []string{"--unsafe-no-fsync"}}
	stays, err := localcluster.Start(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stays.Close()) })
	settings := everything()
	settings.Names = []string{filepath.Base(program)}
	tr := follow(t, stays, settings, "")
	tr.awaitTraced(t, pids(stays)...)
	probesOfOne := probes(t)
	kv := pb.NewKVClient(call(t, stays, stays.Members()[0], nil).ClientConn)
	_, err = kv.Put(t.Context(), &pb.PutRequest{Key: []byte("/connected")})
	require.NoError(t, err)
	before := footprintOf(t)
	asked := 0
	var guests sync.WaitGroup
	t.Cleanup(guests.Wait)
	const together = 4
	each := (often(t, 16) + together - 1) / together
	for range together {
		guests.Go(func() {
			for range each {
				guest, err := localcluster.Start(t.Context(), config)
				if !assert.NoError(t, err) {
					return
				}
				pid := guest.Members()[0].PID()
				assert.Eventually(t, func() bool { return strings.Contains(fmt.Sprint(tr.stateOf(pid)), "another cluster") }, patience, 10*time.Millisecond, "what is told of it")
				assert.NoError(t, guest.Close())
				assert.Eventually(t, func() bool { return tr.stateOf(pid) == nil }, patience, 10*time.Millisecond, "its end")
			}
		})
	}
	over := make(chan struct{})
	go func() { guests.Wait(); close(over) }()
	for done := false; !done; asked++ {
		select {
		case <-over:
			done = true
		case <-time.After(5 * time.Millisecond):
		}
		_, err := kv.Put(t.Context(), &pb.PutRequest{Key: fmt.Appendf(nil, "/stays/%d", asked)})
		require.NoError(t, err)
	}
	waitFor(t, "all records", func() bool { return tr.toldPuts("/stays/") >= asked })
	assert.Equal(t, asked, tr.toldPuts("/stays/"))
	waitFor(t, "the probes in the guests to be gone", func() bool { return probes(t) == probesOfOne })
	before.leavesNothing(t)
	t.Logf("%d etcds came and went; %d puts to the one that stays, each told once", together*each, asked)
}

// toldPuts counts the records of puts below a prefix.
func (tr *tracing) toldPuts(prefix string) (n int) {
	for _, r := range tr.Records() {
		if r.event == "etcd.request.put" && strings.HasPrefix(r.text("etcd.key"), prefix) {
			n++
		}
	}
	return n
}

// Members of two versions run side by side then.
func TestAClusterThatIsUpgradedUnderLoadIsTracedMemberByMember(t *testing.T) {
	harness.NeedRoot(t)
	program := harness.ProgramApart(t, "3.5", "")
	cluster, err := localcluster.Start(t.Context(), localcluster.Config{Binary: program, Size: 3, ExtraArgs: []string{"--unsafe-no-fsync"}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Close()) })
	settings := everything()
	settings.Names, settings.Rescan = []string{filepath.Base(program)}, time.Hour
	tr := follow(t, cluster, settings, "")
	tr.awaitTraced(t, pids(cluster)...)

	client, err := cluster.Client()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	t.Cleanup(func() { cancel(); load.Wait(); require.NoError(t, client.Close()) })
	var made int
	load.Go(func() {
		for ; ctx.Err() == nil; made++ {
			_, _ = client.Put(ctx, fmt.Sprintf("/load/%d", made), "value") // a member is down now and then
		}
	})

	const puts = 50
	prove := func(phase int) {
		for m, member := range cluster.Members() {
			kv := pb.NewKVClient(call(t, cluster, member, nil).ClientConn)
			for n := range puts {
				_, err := kv.Put(t.Context(), &pb.PutRequest{Key: fmt.Appendf(nil, "/phase/%d/%d/%d", phase, m, n)})
				require.NoError(t, err)
			}
		}
		for m, member := range cluster.Members() {
			version := "3.5."
			if m < phase {
				version = "3.6."
			}
			var told []record
			waitFor(t, "the records of a member", func() bool {
				told = nil
				for _, r := range tr.Records() {
					if r.event == "etcd.request.put" && strings.HasPrefix(r.text("etcd.key"), fmt.Sprintf("/phase/%d/%d/", phase, m)) {
						told = append(told, r)
					}
				}
				return len(told) >= puts
			})
			require.Len(t, told, puts)
			for _, r := range told {
				require.True(t, strings.HasPrefix(fmt.Sprint(r.resource["service.version"]), version), "%v", r.resource)
				require.EqualValues(t, member.Name, r.resource["etcd.member.name"], "%v", r.resource)
			}
		}
	}
	prove(0)
	harness.Install(t, harness.Binary(t, "3.6"), program+".new")
	require.NoError(t, os.Rename(program+".new", program)) // the members that run keep the old file
	for i, member := range cluster.Members() {
		require.NoError(t, member.Stop())
		require.NoError(t, member.Restart(t.Context()))
		tr.awaitTraced(t, member.PID())
		prove(i + 1)
	}
	cancel()
	load.Wait()
	told := map[string]int{}
	for _, r := range tr.Records() {
		if key := r.text("etcd.key"); strings.HasPrefix(key, "/load/") && r.attrs["etcd.revision"] != nil {
			told[key]++
		}
	}
	assert.NotEmpty(t, told)
	for key, n := range told {
		assert.Equal(t, 1, n, "%s", key)
	}
	assert.Empty(t, tr.Lost())
	t.Logf("%d puts during the upgrade, of which %d were told", made, len(told))
}
