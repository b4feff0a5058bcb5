// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// host is a member and the collector beside it, which sees of this machine what it would
// see of one of its own: its member's program has a name that no other has.
type host struct {
	*localcluster.Member
	t         *testing.T
	number    int
	env       []string
	configs   []string
	collector *harness.Collector
}

func (h *host) start() {
	h.t.Helper()
	h.collector = harness.StartDistribution(h.t, h.env, h.configs...)
}

func (h *host) await() {
	h.t.Helper()
	h.collector.Await(h.t, "requests of etcd are traced", 1)
	h.collector.Await(h.t, "\twatching\t", 1)
}

// startHosts runs a cluster with three collectors as the page describes them.
func startHosts(t *testing.T, b *backend) (*scene, []*host) {
	t.Helper()
	cluster := startCluster(t)
	s := newScene(t, cluster)
	var hosts []*host
	for i, m := range cluster.Members() {
		h := &host{Member: m, t: t, number: i}
		h.env, h.configs = asThePageSays(t, cluster, b, m)
		h.configs = append(h.configs, apart(t, m), harness.ConfigFile(t, "exporters: {otlp_http: {headers: {VL-Extra-Fields: collector="+m.Name+"}}}"))
		h.start()
		hosts = append(hosts, h)
	}
	for _, h := range hosts {
		h.await()
	}
	return s, hosts
}

// writers are two people at each member, who write until they are stopped. A key says who
// wrote it and through which member.
type writers struct {
	t     *testing.T
	done  [3]atomic.Int64 // writes that were answered, by member
	stop  context.CancelFunc
	group sync.WaitGroup
}

var people = []string{"alice", "deploy-bot"}

func addressOf(person string, member int) string {
	return fmt.Sprintf("127.0.%d.%d", 1+slices.Index(people, person), 1+member)
}

// writeTimeout is how long somebody waits for a member that is down. A write that is
// given up may be a change, of which no request is known that has made it.
const writeTimeout = 2 * time.Second

func startWriters(s *scene, prefix string) *writers {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	w := &writers{t: s.t, stop: cancel}
	for member := range w.done {
		for _, person := range people {
			c := s.person(person, addressOf(person, member), member)
			w.group.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					if w.write(c, fmt.Sprintf("%s%d/%s/%d", prefix, member, person, n), n) {
						w.done[member].Add(1)
					}
					time.Sleep(20 * time.Millisecond) // people do not write all the time
				}
			})
		}
	}
	s.t.Cleanup(w.end)
	return w
}

// write does not say why it has failed, nor whether the key is there in spite of that.
func (w *writers) write(c *clientv3.Client, key string, n int) bool {
	ctx, cancel := context.WithTimeout(w.t.Context(), writeTimeout)
	defer cancel()
	var err error
	switch n % 5 {
	case 3:
		_, err = c.Txn(ctx).Then(clientv3.OpPut(key, "v"), clientv3.OpPut(key+"/more", "v")).Commit()
	case 4:
		_, err = c.Delete(ctx, strings.TrimSuffix(key, strconv.Itoa(n)), clientv3.WithPrefix())
	default:
		_, err = c.Put(ctx, key, "v")
	}
	return err == nil
}

// await waits for that many more writes at each of the members.
func (w *writers) await(more int64, members ...int) {
	w.t.Helper()
	var target [3]int64
	for _, m := range members {
		target[m] = w.done[m].Load() + more
	}
	waitFor(w.t, "writes", func() bool {
		return !slices.ContainsFunc(members, func(m int) bool { return w.done[m].Load() < target[m] })
	})
}

func (w *writers) end() {
	w.stop()
	w.group.Wait()
}

// history is each change below a prefix as a member has it, by revision and key.
func (s *scene) history(prefix string, member int) map[string]bool {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	root := s.person("root", "127.0.0.9", member)
	end, err := root.Put(ctx, strings.TrimSuffix(prefix, "/"), "") // so that the watch has an end
	s.must(err)
	all := map[string]bool{}
	for r := range root.Watch(ctx, strings.TrimSuffix(prefix, "/"), clientv3.WithPrefix(), clientv3.WithRev(1)) {
		s.must(r.Err())
		for _, e := range r.Events {
			if e.Kv.ModRevision == end.Header.Revision {
				return all
			}
			all[fmt.Sprint(e.Kv.ModRevision, " ", string(e.Kv.Key))] = true
		}
	}
	require.Fail(s.t, "the watch has ended")
	return nil
}

// toldChange is a record of a change.
type toldChange struct {
	collector, key, id, uid string // id: revision and key
	revision                int64
	source, user, address   string
	person                  string // who has written it, as the key says
	member                  int    // through which he has
}

// named tells whether it says all that can be known of its author.
func (c *toldChange) named() bool { return c.source == "request" }

// authorGap is a record of changes whose author is missing.
type authorGap struct {
	collector, reason string
	from, to          int64
}

func (g *authorGap) has(c *toldChange) bool {
	return g.collector == c.collector && g.from <= c.revision && c.revision <= g.to
}

// union is what all collectors told of the changes below a prefix.
type union struct {
	changes []toldChange
	gaps    []authorGap
}

func number(t *testing.T, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	require.NoError(t, err)
	return n
}

func askUnion(t *testing.T, b *backend, prefix string) (u union) {
	t.Helper()
	first := int64(math.MaxInt64)
	for _, r := range b.ask(t, fmt.Sprintf(`event.name:in("etcd.kv.put", "etcd.kv.delete") etcd.key:=%q*`, prefix)) {
		f := r.fields
		written := strings.Split(strings.TrimPrefix(f["etcd.key"], prefix), "/")
		c := toldChange{
			collector: f["collector"], key: f["etcd.key"], id: f["etcd.kv.mod_revision"] + " " + f["etcd.key"], uid: f["log.record.uid"],
			revision: number(t, f["etcd.kv.mod_revision"]),
			source:   f["etcd.author.source"], user: f["user.name"], address: f["client.address"],
			person: written[1], member: int(number(t, written[0])),
		}
		first = min(first, c.revision)
		u.changes = append(u.changes, c)
	}
	for _, r := range b.ask(t, `event.name:="etcd.watch.gap" etcd.gap.source:="author"`) {
		f := r.fields
		g := authorGap{f["collector"], f["etcd.gap.reason"], number(t, f["etcd.gap.from_revision"]), number(t, f["etcd.gap.to_revision"])}
		if g.to >= first {
			u.gaps = append(u.gaps, g)
		}
	}
	return u
}

// untold are the changes that nobody told.
func (u *union) untold(want map[string]bool) (left []string) {
	seen := map[string]bool{}
	for i := range u.changes {
		seen[u.changes[i].id] = true
	}
	for id := range want {
		if !seen[id] {
			left = append(left, id)
		}
	}
	return left
}

// unexplained are those that have no author, of which no gap of their collector says so.
func (u *union) unexplained() (left []toldChange) {
	for _, c := range u.changes {
		if !c.named() && !slices.ContainsFunc(u.gaps, func(g authorGap) bool { return g.has(&c) }) {
			left = append(left, c)
		}
	}
	return left
}

// once is each change once: as the page says, of those with the same uid the one that
// has an author.
func (u *union) once(t *testing.T) map[string]toldChange {
	t.Helper()
	uids, once := map[string]string{}, map[string]toldChange{}
	for _, c := range u.changes {
		require.NotEmpty(t, c.uid)
		if id, ok := uids[c.uid]; ok {
			require.Equal(t, id, c.id, "two changes have the uid %s", c.uid)
		}
		uids[c.uid] = c.id
		before, ok := once[c.id]
		if ok {
			require.Equal(t, before.uid, c.uid, "it came twice: %+v, %+v", before, c)
		}
		if !ok || before.source == "" || c.named() {
			once[c.id] = c
		}
	}
	return once
}

// judge holds what the collectors told of a run against what etcd has of it. victim is
// the host of which something has ended.
func (s *scene) judge(b *backend, run string, hosts []*host, victim *host) {
	t := s.t
	t.Helper()
	want := s.history(run, (victim.number+1)%len(hosts))
	var told union
	complete := func() bool {
		told = askUnion(t, b, run)
		return len(told.untold(want)) == 0 && len(told.unexplained()) == 0
	}
	for began := time.Now(); !complete() && time.Since(began) < patience; {
		s.pause()
	}
	assert.Empty(t, told.untold(want), "changes that nobody told, of %d", len(want))
	assert.Empty(t, told.unexplained(), "changes without an author, beside %+v", told.gaps)

	for _, c := range told.changes {
		assert.True(t, want[c.id], "there was no such change: %+v", c)
		if c.source != "" {
			assert.Equal(t, c.person, c.user, "%+v", c)
		}
		if c.named() {
			assert.Equal(t, addressOf(c.person, c.member), c.address, "%+v", c)
			assert.Equal(t, hosts[c.member].Name, c.collector, "%+v", c)
		}
	}
	named, unnamed := map[string]int{}, map[string]int{}
	for _, c := range told.once(t) {
		if of := hosts[c.member].Name; c.named() {
			named[of]++
		} else {
			unnamed[of]++
		}
	}
	for _, h := range hosts {
		assert.Positive(t, named[h.Name], h.Name)
		untraced := slices.ContainsFunc(told.gaps, func(g authorGap) bool {
			return g.collector == h.Name && (g.reason == "untraced" || g.reason == "late")
		})
		assert.Equal(t, h == victim, untraced, "of %s: %+v", h.Name, told.gaps)
	}
	t.Logf("%d changes, %d records of them; by member, with their author: %v, without: %v; gaps of authors: %+v",
		len(want), len(told.changes), named, unnamed, told.gaps)
}

func TestOfThreeCollectorsOneMayDieAndSoMayAMember(t *testing.T) {
	harness.NeedRoot(t)
	b := startBackend(t)
	s, hosts := startHosts(t, b)
	all := []int{0, 1, 2}

	t.Run("collector", func(t *testing.T) {
		s := s.in(t)
		w := startWriters(s, "/collector/")
		w.await(20, all...)
		victim := hosts[0]
		waitFor(t, "changes that the victim has told", func() bool {
			return slices.ContainsFunc(askUnion(t, b, "/collector/").changes, func(c toldChange) bool { return c.named() && c.collector == victim.Name })
		})
		require.NoError(t, victim.collector.Kill())
		w.await(50, all...)
		victim.start()
		victim.await()
		w.await(50, all...)
		w.end()
		s.judge(b, "/collector/", hosts, victim)
	})
	t.Run("member", func(t *testing.T) {
		s := s.in(t)
		w := startWriters(s, "/member/")
		w.await(20, all...)
		leader, err := s.cluster.Leader(t.Context())
		require.NoError(t, err)
		victim := hosts[slices.IndexFunc(hosts, func(h *host) bool { return h.Member == leader })]
		others := slices.DeleteFunc(slices.Clone(all), func(i int) bool { return i == victim.number })
		require.NoError(t, victim.Kill())
		w.await(50, others...)
		require.NoError(t, victim.Restart(t.Context()))
		w.await(50, all...)
		w.end()
		s.judge(b, "/member/", hosts, victim)
	})
	assert.Empty(t, b.ask(t, `event.name:="etcd.watch.gap" etcd.gap.source:="watch"`), "no change is missing")
}

// in is the scene for a part of a test.
func (s *scene) in(t *testing.T) *scene {
	part := *s
	part.t = t
	return &part
}
