// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// author is who made a revision, as the client that did it has noted.
type author struct {
	source, operation, user string
	port                    int64 // of the client, 0: it must not be told
	lease                   string
}

// authorsBook is what all clients noted.
type authorsBook struct {
	mu     sync.Mutex
	by     map[int64]author  // revision
	leases map[string]author // that will expire, by id: their owner
}

func (b *authorsBook) note(revision int64, a author) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.by[revision] = a
}

// change is one change as an agent told it.
type change struct {
	revision, subIndex int64
	author
	member string
}

func changeOf(lr plog.LogRecord) (change, bool) {
	if !strings.HasPrefix(lr.EventName(), "etcd.kv.") {
		return change{}, false
	}
	attrs := lr.Attributes().AsRaw()
	text := func(name string) string { s, _ := attrs[name].(string); return s }
	number := func(name string) int64 { n, _ := attrs[name].(int64); return n }
	return change{
		number("etcd.kv.mod_revision"), number("etcd.kv.sub_index"),
		author{text("etcd.author.source"), text("db.operation.name"), text("user.name"), number("client.port"), text("etcd.author.lease_id")},
		text("etcd.author.member_id"),
	}, true
}

// agent is a receiver beside one member.
type agent struct {
	*harness.Receiver
	mu      sync.Mutex
	changes []change
	gaps    []authorGap
}

func (a *agent) told() []change {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]change(nil), a.changes...)
}

func startAgent(t *testing.T, cluster *localcluster.Cluster, m *localcluster.Member, password string) *agent {
	t.Helper()
	return startAgentWith(t, cluster, m, password, 8<<20)
}

func startAgentWith(t *testing.T, cluster *localcluster.Cluster, m *localcluster.Member, password string, ring int) *agent {
	t.Helper()
	harness.NeedRoot(t)
	config := fmt.Sprintf(`
endpoints: [%s]
discover_members: false
collection_interval: 100ms
status: {enabled: false}
watch: {scope: local, prefixes: [/load/]}
ebpf: {mode: required, disk: {enabled: false}, events: {mode: none}, ring_buffer_size: %d, processes: {pids: [%d], rescan: 100ms}}
`, m.ClientURL, ring, m.PID())
	if password != "" {
		config += fmt.Sprintf("\nusername: root\npassword: %s\n", password)
	}
	if files := cluster.TLS(); files != nil {
		config += fmt.Sprintf("\ntls: {ca_file: %s, cert_file: %s, key_file: %s}\n", files.CAFile, files.CertFile, files.KeyFile)
	}
	a := &agent{Receiver: harness.New(t, config, true, true)}
	a.EachLog = func(lr plog.LogRecord) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if c, ok := changeOf(lr); ok {
			a.changes = append(a.changes, c)
		}
		if g, ok := authorGapOf(lr); ok {
			a.gaps = append(a.gaps, g)
		}
	}
	a.Start(t)
	t.Cleanup(func() { a.Stop(t) })
	waitFor(t, "an agent that traces its member", func() bool {
		return a.Log.FilterMessage("requests of etcd are traced").Len() > 0 && a.Log.FilterMessage("watching").Len() > 0
	})
	return a
}

// writeAll is what one client does: puts, transactions over several keys, deletes of a
// range, leases that it revokes and leases that it leaves to their end.
func writeAll(t *testing.T, c *caller, b *authorsBook, client, writes int) {
	kv, lessor, ctx := pb.NewKVClient(c.ClientConn), pb.NewLeaseClient(c.ClientConn), t.Context()
	me := func(operation string) author { return author{"request", operation, c.user, int64(c.port), ""} }
	for n := 0; n < writes; n++ {
		key := fmt.Sprintf("/load/%d/%d", client, n)
		switch n % 25 {
		default:
			r, err := kv.Put(ctx, &pb.PutRequest{Key: []byte(key), Value: []byte("value")})
			if assert.NoError(t, err) {
				b.note(r.Header.Revision, me("put"))
			}
		case 3, 8, 13:
			r, err := kv.Txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{put(key, "one"), put(key+"/b", "two"), get(key, ""), del(fmt.Sprintf("/load/%d/%d", client, n-1), "")}})
			if assert.NoError(t, err) {
				b.note(r.Header.Revision, me("txn"))
			}
		case 16: // as Kubernetes deletes
			r, err := kv.Txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{del(fmt.Sprintf("/load/%d/%d", client, n-1), "")}})
			if assert.NoError(t, err) && r.Responses[0].GetResponseDeleteRange().Deleted > 0 {
				b.note(r.Header.Revision, me("txn"))
			}
		case 14:
			// Nothing is there: it answers with the revision that somebody else has made.
			_, err := kv.Txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{del(key, "")}})
			assert.NoError(t, err)
		case 18:
			r, err := kv.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: fmt.Appendf(nil, "/load/%d/", client), RangeEnd: fmt.Appendf(nil, "/load/%d0", client)})
			if assert.NoError(t, err) && r.Deleted > 0 {
				b.note(r.Header.Revision, me("delete_range"))
			}
		case 22:
			grant, err := lessor.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: 60})
			if !assert.NoError(t, err) {
				return
			}
			r, err := kv.Put(ctx, &pb.PutRequest{Key: []byte(key), Lease: grant.ID})
			if assert.NoError(t, err) {
				b.note(r.Header.Revision, me("put"))
			}
			revoke, err := lessor.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: grant.ID})
			if assert.NoError(t, err) {
				b.note(revoke.Header.Revision, me("lease_revoke"))
			}
		case 24:
			if n%100 != 24 {
				continue
			}
			grant, err := lessor.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: 4})
			if !assert.NoError(t, err) {
				return
			}
			b.mu.Lock()
			b.leases[resource.ID(uint64(grant.ID))] = author{user: c.user, port: int64(c.port)}
			b.mu.Unlock()
			r, err := kv.Put(ctx, &pb.PutRequest{Key: fmt.Appendf(nil, "/load/leased/%d/%d", client, n), Lease: grant.ID})
			if assert.NoError(t, err) {
				b.note(r.Header.Revision, me("put"))
			}
		}
	}
}

// truth is every change, from a watcher of etcd's own client.
func truth(t *testing.T, cluster *localcluster.Cluster) (changes func() map[[2]int64]bool) {
	client, err := cluster.Client()
	require.NoError(t, err)
	all := map[[2]int64]bool{}
	var mu sync.Mutex
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	var watch clientv3.WatchChan
	waitFor(t, "a watch of the test's own", func() bool { // a member may not know the users yet
		watch = client.Watch(ctx, "/load/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
		r, ok := <-watch
		return ok && r.Created && !r.Canceled
	})
	go func() {
		defer close(ended)
		var revision, index int64
		for r := range watch {
			if err := r.Err(); err != nil && ctx.Err() == nil {
				t.Errorf("the watch of the test's own: %v", err)
			}
			for _, ev := range r.Events {
				if ev.Kv.ModRevision != revision {
					revision, index = ev.Kv.ModRevision, 0
				}
				mu.Lock()
				all[[2]int64{revision, index}] = true
				mu.Unlock()
				index++
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-ended; _ = client.Close() })
	return func() map[[2]int64]bool {
		mu.Lock()
		defer mu.Unlock()
		copied := make(map[[2]int64]bool, len(all))
		for c := range all {
			copied[c] = true
		}
		return copied
	}
}

// authorWrites is how many requests the clients make together.
func authorWrites(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("AUTHORS_WRITES"))
	if err != nil {
		n = 20_000
	}
	t.Log("AUTHORS_WRITES:", n)
	return n
}

func TestEachChangeIsToldOnceByTheAgentOfTheMemberThatServedItWithItsTrueAuthor(t *testing.T) {
	harness.NeedRoot(t)
	for _, build := range builds {
		t.Run(build, func(t *testing.T) {
			if build == "3.6" {
				proveAuthors(t, localcluster.Config{Size: 3, TLS: true}, build, authorWrites(t))
			} else {
				proveAuthors(t, localcluster.Config{Size: 3}, build, 2500)
			}
		})
	}
}

// proveAuthors has clients of all members write, with authentication where there is
// TLS, and holds what an agent beside each member tells against what they noted.
func proveAuthors(t *testing.T, config localcluster.Config, build string, writes int) {
	const clients, users = 50, 10
	config.ExtraArgs = []string{"--bcrypt-cost=4"}
	cluster := harness.Start(t, build, config)
	password := ""
	if config.TLS {
		password = rootPassword
		require.NoError(t, cluster.EnableAuth(t.Context(), password))
	}
	root, err := cluster.Client()
	require.NoError(t, err)
	t.Cleanup(func() { _ = root.Close() })
	for u := range users {
		if password == "" {
			break
		}
		_, err := root.UserAdd(t.Context(), fmt.Sprintf("user-%d", u), "password")
		require.NoError(t, err)
		_, err = root.UserGrantRole(t.Context(), fmt.Sprintf("user-%d", u), "root")
		require.NoError(t, err)
	}
	members := cluster.Members()
	var agents []*agent
	for _, m := range members {
		agents = append(agents, startAgent(t, cluster, m, password))
	}
	all := truth(t, cluster)

	b := &authorsBook{by: map[int64]author{}, leases: map[string]author{}}
	var group sync.WaitGroup
	for i := range clients {
		m := members[i%len(members)]
		c := call(t, cluster, m, nil)
		if password != "" {
			c.is(t, fmt.Sprintf("user-%d", i%users), "password")
		}
		c.learnPort(t)
		group.Go(func() { writeAll(t, c, b, i, writes/clients) })
	}
	group.Wait()
	var last int64
	waitFor(t, "the end of all leases", func() bool {
		left, err := root.Get(t.Context(), "/load/leased/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil || left.Count > 0 {
			return false
		}
		last = left.Header.Revision
		return true
	})
	waitFor(t, "all changes, which each agent tells or leaves to another", func() bool {
		changes := all()
		return changes[[2]int64{last, 0}] && !slices.ContainsFunc(agents, func(a *agent) bool {
			return a.Counter("receiver_etcd_changes_signed", "", "") < int64(len(changes))
		})
	})
	time.Sleep(time.Second) // for what comes twice

	want, seen, expired, named := all(), map[[2]int64]int{}, 0, 0
	wrong, unnamed := 0, 0
	for i, a := range agents {
		t.Logf("agent %d told %d changes", i, len(a.told()))
		for _, c := range a.told() {
			seen[[2]int64{c.revision, c.subIndex}]++
			if c.source == "" || c.source == "raft" {
				unnamed++ // nobody was seen in time: a machine that stands still for a second makes it so
				continue
			}
			by, known := b.by[c.revision]
			if !known {
				owner, ok := b.leases[c.lease]
				by = author{"lease", "lease_expire", owner.user, owner.port, c.lease}
				if !ok {
					by = author{source: "this lease was nobody's"}
				}
				expired++
				if c.port == 0 {
					by.port = 0 // another member than the leader granted it, and only the user is in the log
				}
				if c.port != 0 {
					named++
				}
			}
			if by != c.author {
				if wrong++; wrong <= 20 {
					t.Errorf("revision %d: told %+v, but it was %+v", c.revision, c.author, by)
				}
			}
		}
	}
	for revision := range b.by {
		assert.True(t, want[[2]int64{revision, 0}], "revision %d is missing in the truth", revision)
	}
	missing, twice := 0, 0
	for c := range want {
		switch seen[c] {
		case 0:
			missing++
		case 1:
		default:
			twice++
		}
	}
	t.Logf("%d changes in %d revisions: %d missing, %d twice, %d with a wrong author, %d without; %d expired leases, of %d the owner's address is known",
		len(want), len(b.by), missing, twice, wrong, unnamed, expired, named)
	assert.Zero(t, missing, "changes that no agent told")
	assert.LessOrEqual(t, twice, unnamed, "changes that two agents told, though it was known who made them")
	assert.Less(t, unnamed, len(want)/20, "changes without an author")
	assert.Len(t, seen, len(want))
	assert.Zero(t, wrong, "changes with a wrong author")
	assert.Positive(t, expired)
	assert.Positive(t, named)
	// What the receivers say of themselves is true.
	joined, without := int64(0), int64(0)
	for _, a := range agents {
		a.Stop(t) // which tells the last of it
		of := a.coverage(t)
		assert.EqualValues(t, len(want), sumOf(of))
		joined, without = joined+of["joined"], without+of["missed"]+of["late"]+of["untraced"]
		a.judgeGaps(t)
	}
	assert.EqualValues(t, unnamed, without)
	told := 0
	for _, n := range seen {
		told += n
	}
	assert.EqualValues(t, told-unnamed, joined)
}

// learnPort makes a request, so that the connection is there.
func (c *caller) learnPort(t *testing.T) {
	t.Helper()
	_, err := pb.NewKVClient(c.ClientConn).Range(t.Context(), &pb.RangeRequest{Key: []byte("/port"), Serializable: true})
	require.NoError(t, err)
}
