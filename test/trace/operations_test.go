// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
	"github.com/etcdreceiver/etcdreceiver/test/kernels/guest"
)

// builds are the etcds of which every field is proven.
var builds = []string{"3.4", "3.5-go1.19", "3.5", "3.6", "3.7", "3.7-pie"}

// cell is one column of the proof: a build under one kind of security.
type cell struct {
	build     string
	tls, auth bool
}

func (c cell) String() string {
	name := c.build
	if c.tls {
		name += " tls"
	}
	if c.auth {
		name += " auth"
	}
	return name
}

const rootPassword = "root's own"

func TestEveryOperationIsTracedAsItWasAskedAndAnswered(t *testing.T) {
	harness.NeedRoot(t)
	proof := newProof()
	t.Run("of", func(t *testing.T) {
		for _, build := range builds {
			all := []cell{{build, false, false}, {build, true, true}, {build, true, false}, {build, false, true}}
			if !slices.Contains(harness.Versions, build) {
				all = all[:2]
			}
			for _, how := range all {
				t.Run(how.String(), func(t *testing.T) {
					t.Parallel()
					proof.compare(t, how)
				})
			}
		}
	})
	if len(proof.builds) == len(builds) && !t.Failed() {
		proof.table(t)
	}
}

// compare plays the script on one etcd and holds each record against what the
// client knows.
func (p *proof) compare(t *testing.T, how cell) {
	cluster := harness.Start(t, how.build, localcluster.Config{TLS: how.tls, ExtraArgs: []string{"--bcrypt-cost=4"}})
	password := ""
	if how.auth {
		require.NoError(t, cluster.EnableAuth(t.Context(), rootPassword))
		password = rootPassword
	}
	tr := follow(t, cluster, everything(pids(cluster)...), password)
	tr.awaitTraced(t, pids(cluster)...)
	require.Empty(t, tr.lacks())
	asked, threads := tr.play(t, cluster, how)
	tr.stop()
	assert.Empty(t, tr.Lost())
	p.judge(t, how, asked, mine(tr.Records(), asked), threads)
}

// play plays the script and gives what was asked, and the threads of etcd. No more
// can be written after it.
func (tr *tracing) play(t *testing.T, cluster *localcluster.Cluster, how cell) ([]*asked, map[int64]bool) {
	t.Helper()
	member := cluster.Members()[0]
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var b book
	root := &script{caller: call(t, cluster, member, &b), t: t, ctx: ctx, self: member.ID}
	if how.auth {
		root.is(t, "root", rootPassword)
		tr.awaitUsers(t, cluster)
	}
	root.run()
	if !how.auth {
		root.enableAuth(rootPassword)
		root.is(t, "root", rootPassword)
		tr.awaitUsers(t, cluster)
	}
	root.denied(&script{caller: call(t, cluster, member, &b), t: t, ctx: ctx})
	_, err := pb.NewAuthClient(root.ClientConn).AuthDisable(t.Context(), &pb.AuthDisableRequest{})
	require.NoError(t, err)
	root.user, root.token = "", ""
	root.withoutQuorum()

	last := b.all[len(b.all)-1]
	waitFor(t, "the last record", func() bool { return slices.ContainsFunc(tr.Records(), last.isIn) })
	return b.all, threadsOf(t, member.PID())
}

// lacks is what the receiver says it cannot tell of the etcd that it traces, and why.
func (tr *tracing) lacks() map[string]string {
	all := map[string]string{}
	for _, e := range tr.Log.FilterMessage("requests of etcd are traced").All() {
		named, _ := e.ContextMap()["cannot_be_told"].([]any)
		for _, one := range named {
			what, why, _ := strings.Cut(one.(string), ": ")
			all[what] = why
		}
	}
	return all
}

// awaitUsers returns when the users of requests are told, if they can be.
func (tr *tracing) awaitUsers(t *testing.T, cluster *localcluster.Cluster) {
	t.Helper()
	if lacks := tr.lacks(); lacks["user.name"] != "" || lacks["client.address"] != "" {
		return
	}
	other := call(t, cluster, cluster.Members()[0], nil)
	other.is(t, "root", rootPassword)
	tr.awaitUsersOf(t, other)
}

func (tr *tracing) awaitUsersOf(t *testing.T, other *caller) {
	t.Helper()
	waitFor(t, "a record with a user", func() bool {
		_, err := pb.NewKVClient(other.ClientConn).Put(t.Context(), &pb.PutRequest{Key: []byte("/whoever")})
		require.NoError(t, err)
		return slices.ContainsFunc(tr.Records(), func(r record) bool { return r.port() == other.port && r.text("user.name") == "root" })
	})
}

// mine are the records of these callers, and those without a client; not of members that cannot be reached.
func mine(all []record, of []*asked) []record {
	ports := map[int]bool{0: true}
	for _, a := range of {
		ports[int(a.attrs["client.port"].(int64))] = true
	}
	return slices.DeleteFunc(all, func(r record) bool { return !ports[r.port()] || strings.HasPrefix(r.event, "etcd.peer.") })
}

func threadsOf(t *testing.T, pid int) map[int64]bool {
	entries, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "task"))
	require.NoError(t, err)
	threads := map[int64]bool{}
	for _, e := range entries {
		id, err := strconv.ParseInt(e.Name(), 10, 64)
		require.NoError(t, err)
		threads[id] = true
	}
	return threads
}

// judge finds the record of each request, and no other.
func (p *proof) judge(t *testing.T, how cell, all []*asked, records []record, threads map[int64]bool) {
	for _, a := range all {
		i := slices.IndexFunc(records, a.isIn)
		if i < 0 {
			p.differs(t, how, a, "record", nil, a.attrs["rpc.method"])
			continue
		}
		p.record(t, how, a, &records[i], threads)
		records = slices.Delete(records, i, i+1)
	}
	for _, r := range records {
		if !r.internal() {
			t.Errorf("a record of what nobody asked: %s", r.body)
		}
	}
}

// isIn tells whether a record is of this request: one follows the other, so time
// tells.
func (a *asked) isIn(r record) bool {
	return r.attrs["rpc.method"] == a.attrs["rpc.method"] && (r.port() == 0 || int64(r.port()) == a.attrs["client.port"]) &&
		!r.start.Before(a.sent.Add(-clockTolerance)) && !r.start.After(a.got)
}

// internal tells whether a record is of a request that etcd makes itself, for one
// who asks for a lock.
func (r *record) internal() bool {
	o := r.text("db.operation.name")
	return r.port() == 0 && (o == "lease_keep_alive" || o == "watch_cancel" || o == "watch_close" ||
		o == "watch_create" && strings.HasPrefix(r.text("etcd.key"), "/locks/"))
}

// clockTolerance is how exactly the start is known where etcd does not tell it: the
// clocks of the kernel and of the wall are read one after the other.
var clockTolerance = time.Millisecond

func init() {
	if guest.Inside() { // a machine that stands still now and then
		clockTolerance = 100 * time.Millisecond
	}
}

// record compares one record with what was asked and answered.
func (p *proof) record(t *testing.T, how cell, a *asked, r *record, threads map[int64]bool) {
	a.answer(r.text("rpc.response.status_code"), r.text("etcd.request.message"))
	got := maps.Clone(r.attrs)
	if r.event == a.event {
		p.agrees(how, a, "EventName")
	} else {
		p.differs(t, how, a, "EventName", r.event, a.event)
	}
	delete(got, "event.name") // the same once more, for backends without event names
	if thread, _ := got["thread.id"].(int64); threads[thread] {
		p.agrees(how, a, "thread.id")
	} else {
		p.differs(t, how, a, "thread.id", thread, "a thread of etcd")
	}
	delete(got, "thread.id")
	took, measured := got["etcd.request.duration"].(float64)
	end := r.start.Add(time.Duration(took * float64(time.Second)))
	switch {
	case measured != a.unary:
		p.differs(t, how, a, "etcd.request.duration", got["etcd.request.duration"], nil)
	case r.start.Before(a.sent.Add(-clockTolerance)) || end.After(a.got.Add(clockTolerance)) && !a.givenUp:
		p.differs(t, how, a, "Timestamp", fmt.Sprint(r.start.Sub(a.sent), " after it was sent until ", end.Sub(a.got), " after the answer"), "within")
	case measured:
		p.agrees(how, a, "Timestamp")
		p.agrees(how, a, "etcd.request.duration")
	}
	delete(got, "etcd.request.duration")
	for _, name := range slices.Sorted(maps.Keys(union(got, a.attrs))) {
		if want := a.attrs[name]; reflect.DeepEqual(got[name], want) {
			p.agrees(how, a, name)
		} else {
			p.differs(t, how, a, name, got[name], want)
		}
	}
}

func union(a, b map[string]any) map[string]any {
	all := maps.Clone(a)
	for name := range b {
		all[name] = nil
	}
	return all
}
