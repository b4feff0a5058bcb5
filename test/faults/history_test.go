// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/internal/localcluster/child"
)

// historyFaults replace the history that the collector follows.
func historyFaults() []scenario {
	var second *localcluster.Cluster
	twoClusters := func(w *world) {
		var err error
		second, err = localcluster.Start(w.context(), localcluster.Config{Binary: etcdBinary(w.t), ExtraArgs: []string{"--unsafe-no-fsync"}})
		w.must(err)
		w.t.Cleanup(func() { w.must(second.Close()) })
		w.interpose(nil)
	}
	switchOver := func(w *world) {
		w.proxies[0].Switch(hostOf(second.Members()[0].ClientURL))
		w.openOn(second.ID(), 0, func() (*clientv3.Client, error) { return second.Client() })
		w.write()
	}
	all := []scenario{
		{name: "another cluster while the collector is down", resumes: true, prepare: twoClusters, fault: func(w *world) {
			w.must(w.collector.Kill())
			w.now().load.Stop()
			switchOver(w)
			w.pause(2 * time.Second)
			w.must(w.collector.Start(w.context()))
			w.pause(time.Second)
		}, want: oneGap},
		{name: "another cluster while the collector runs", resumes: true, prepare: twoClusters, fault: func(w *world) {
			w.now().load.Stop()
			w.arrived(w.last())
			switchOver(w)
			w.pause(2 * time.Second)
		}, want: oneGap},
	}
	for _, mode := range []string{"skip", "resync"} {
		prepare := func(w *world) { w.config.Watch["on_compaction"] = mode }
		all = append(all,
			scenario{name: "rewound while the collector is down, then " + mode, resumes: true, prepare: prepare, fault: func(w *world) {
				w.rewind(true, false)
				w.must(w.collector.Start(w.context()))
				w.write()
				w.pause(time.Second)
			}, want: oneGap},
			scenario{name: "rewound while the collector runs, then " + mode, resumes: true, prepare: prepare, fault: func(w *world) {
				w.rewind(false, false)
				w.pause(5 * time.Second) // with few writes a member that is behind looks the same
				w.write()
				w.pause(time.Second)
			}, want: oneGap},
			scenario{name: "rewound and passed us, then " + mode, resumes: true, prepare: prepare, fault: func(w *world) {
				position := w.rewind(true, false)
				w.write()
				for w.revision() < position+50 {
					w.pause(500 * time.Millisecond)
				}
				w.must(w.collector.Start(w.context()))
				w.pause(time.Second)
			}, want: oneGap},
			scenario{name: "restored as a new cluster, then " + mode, resumes: true, prepare: prepare, fault: func(w *world) {
				w.rewind(true, true)
				w.write()
				w.pause(time.Second)
				w.must(w.collector.Start(w.context()))
				w.pause(time.Second)
			}, want: oneGap},
		)
	}
	return all
}

func oneGap(w *world, v Verdict) {
	assert.Equal(w.t, 1, v.Gaps)
	assert.Greater(w.t, v.Changes, 50, "too little was written to show anything")
}

// last is the last revision that the load wrote, or the reader saw.
func (w *world) last() int64 {
	w.now().reference.mu.Lock()
	defer w.now().reference.mu.Unlock()
	return w.now().reference.last
}

// rewind makes a backup, lets the load go on, and puts the backup back. It gives the revision that was lost, and opens
// the new history without writing to it. down kills the collector before; renamed gives the cluster a new token and so
// a new id.
func (w *world) rewind(down, renamed bool) (position int64) {
	file := filepath.Join(w.dir, "backup.db")
	old := w.now()
	w.must(Backup(w.context(), old.client, file))
	status, err := snapshot.NewV3(zap.NewNop()).Status(file)
	w.must(err)
	w.pause(1500 * time.Millisecond)
	old.load.Stop()
	position = w.revision()
	w.must(old.reference.Wait(w.context(), status.Revision))
	w.arrived(w.last())
	if down {
		w.must(w.collector.Kill())
	}
	member := w.cluster.Members()[0]
	args, err := CommandLine(member.PID())
	w.must(err)
	w.must(member.Kill())
	old.reference.Stop() // or it would read the new history
	id := w.cluster.ID()
	if renamed {
		id = w.restoreAs(file, args)
	} else {
		w.must(Restore(file, args))
		w.must(member.Restart(w.context()))
	}
	w.openOn(id, status.Revision, w.dial)
	return position
}

// restoreAs restores with another token and runs the member itself: localcluster takes only the id that it knows.
func (w *world) restoreAs(file string, args []string) (clusterID uint64) {
	args = slices.Clone(args)
	for i, arg := range args {
		if strings.HasPrefix(arg, "--initial-cluster-token=") {
			args[i] = arg + "-restored"
		}
	}
	w.must(Restore(file, args))
	p, err := child.Start(child.Config{Path: args[0], Args: args[1:]})
	w.must(err)
	w.t.Cleanup(func() { w.must(p.Kill()) })
	url := argument(args, "--advertise-client-urls")
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{url}, Logger: zap.NewNop()})
	w.must(err)
	defer func() { _ = client.Close() }()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		answer, err := client.Status(ctx, url)
		cancel()
		if err == nil && answer.Leader != 0 {
			return answer.Header.ClusterId
		}
		if time.Now().After(end) {
			w.must(err)
		}
	}
}
