// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package secrets

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc/metadata"

	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// existingKeys below the excluded prefix are more than a page, so that reading them
// stops among them.
const existingKeys = 60

// writeExisting writes what is there before any collector.
func (w *world) writeExisting() {
	w.t.Helper()
	for _, key := range append([]string{"/open/value"}, secretKeys...) {
		w.put(w.root, key+"-existing", w.valueOf(key))
	}
	for range existingKeys {
		w.put(w.root, w.hidden(), w.secret("a value below an excluded prefix"))
	}
}

// hidden makes a key whose name must not be seen.
func (w *world) hidden() string {
	return "/hidden/" + w.secret("a name below an excluded prefix") + "/x"
}

// valueOf makes a value as it is stored at a key.
func (w *world) valueOf(key string) string {
	switch {
	case key == "/open/value":
		return w.value()
	case strings.Contains(key, "/secrets/"):
		value := harness.KubernetesSecret(w.secret("a Secret of Kubernetes"), w.planted%2 == 0)
		w.secrets.PlantHash("a Secret of Kubernetes", value)
		return value
	default:
		return w.secret("the value of a password")
	}
}

func (w *world) put(c *clientv3.Client, key, value string, opts ...clientv3.OpOption) {
	w.t.Helper()
	_, err := c.Put(w.ctx(), key, value, opts...)
	w.must(err)
}

// doEverything makes every request that carries a secret, in success and in failure.
func (w *world) doEverything(when string) {
	w.t.Helper()
	w.t.Log(when)
	for _, key := range append([]string{"/open/value"}, secretKeys...) {
		w.changeValues(key)
	}
	w.useHiddenNames()
	w.lockAndCampaign()
	w.logIn()
	w.failRequests()
}

// changeValues writes over, compares and deletes.
func (w *world) changeValues(key string) {
	w.t.Helper()
	ctx, kv := w.ctx(), w.root
	before := w.valueOf(key)
	w.put(kv, key, w.valueOf(key))
	w.put(kv, key, before)
	never := func() string { return w.secret("a value that is never stored") }
	inner := clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.Value(key), "=", never())},
		[]clientv3.Op{clientv3.OpPut(key+"-never", never())}, []clientv3.Op{clientv3.OpGet(key), clientv3.OpPut(key+"-inner", w.valueOf(key))})
	r, err := kv.Txn(ctx).If(clientv3.Compare(clientv3.Value(key), "=", before)).
		Then(clientv3.OpPut(key, w.valueOf(key), clientv3.WithPrevKV()), clientv3.OpGet(key), inner).
		Else(clientv3.OpPut(key, never())).Commit()
	w.must(err)
	require.True(w.t, r.Succeeded)
	r, err = kv.Txn(ctx).If(clientv3.Compare(clientv3.Value(key), ">", "~~~~"+never())).Then(clientv3.OpPut(key, never())).Else(clientv3.OpGet(key)).Commit()
	w.must(err)
	require.False(w.t, r.Succeeded)
	_, err = kv.Delete(ctx, key, clientv3.WithPrevKV())
	w.must(err)
}

// useHiddenNames reads, writes and watches keys below an excluded prefix.
func (w *world) useHiddenNames() {
	w.t.Helper()
	ctx, kv := w.ctx(), w.root
	secret := func() string { return w.secret("a value below an excluded prefix") }
	key := w.hidden()
	w.put(kv, key, secret())
	for _, opts := range [][]clientv3.OpOption{nil, {clientv3.WithPrefix()}, {clientv3.WithFromKey()}, {clientv3.WithCountOnly()}, {clientv3.WithRange(w.hidden())}} {
		_, err := kv.Get(ctx, key, opts...)
		w.must(err)
	}
	_, err := kv.Get(ctx, "/a", clientv3.WithRange(w.hidden()))
	w.must(err)
	_, err = kv.Txn(ctx).If(clientv3.Compare(clientv3.Version(w.hidden()), "=", 0)).
		Then(clientv3.OpPut(w.hidden(), secret()), clientv3.OpPut("/open/beside", w.value()), clientv3.OpDelete(key, clientv3.WithPrefix()), clientv3.OpGet(w.hidden()),
			clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut(w.hidden(), secret())}, nil)).Commit()
	w.must(err)

	lease, err := kv.Grant(ctx, 600)
	w.must(err)
	w.put(kv, w.hidden(), secret(), clientv3.WithLease(lease.ID))
	_, err = kv.TimeToLive(ctx, lease.ID, clientv3.WithAttachedKeys())
	w.must(err)
	_, err = kv.Revoke(ctx, lease.ID)
	w.must(err)

	watching, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	for _, opts := range [][]clientv3.OpOption{nil, {clientv3.WithPrefix(), clientv3.WithPrevKV()}, {clientv3.WithRange(w.hidden())}} {
		<-kv.Watch(watching, w.hidden(), append(opts, clientv3.WithCreatedNotify())...)
	}
	cancel()
	w.put(kv, w.hidden(), secret())
	_, err = kv.Delete(ctx, "/hidden/"+w.secret("the end of a range that is excluded"), clientv3.WithPrefix())
	w.must(err)
}

// lockAndCampaign uses names as keys begin with. Some etcds refuse it where auth is on.
func (w *world) lockAndCampaign() {
	ctx, cancel := context.WithTimeout(w.ctx(), 2*time.Second)
	defer cancel()
	conn := w.root.ActiveConnection()
	_, _ = v3lockpb.NewLockClient(conn).Lock(ctx, &v3lockpb.LockRequest{Name: []byte(w.hidden())})
	_, _ = v3lockpb.NewLockClient(conn).Unlock(ctx, &v3lockpb.UnlockRequest{Key: []byte(w.hidden())})
	election := v3electionpb.NewElectionClient(conn)
	value := func() []byte { return []byte(w.secret("the value of an election")) }
	leader := &v3electionpb.LeaderKey{Name: []byte(w.hidden()), Key: []byte(w.hidden())}
	if r, err := election.Campaign(ctx, &v3electionpb.CampaignRequest{Name: []byte(w.hidden()), Value: value()}); err == nil {
		leader = r.Leader
	}
	_, _ = election.Proclaim(ctx, &v3electionpb.ProclaimRequest{Leader: leader, Value: value()})
	_, _ = election.Leader(ctx, &v3electionpb.LeaderRequest{Name: leader.Name})
	_, _ = election.Resign(ctx, &v3electionpb.ResignRequest{Leader: leader})
}

// logIn makes users and passwords, and uses them.
func (w *world) logIn() {
	w.t.Helper()
	ctx, name := w.ctx(), fmt.Sprintf("user-%d", w.planted)
	_, err := w.root.UserAdd(ctx, name, w.secret("the first password of a user"))
	w.must(err)
	password := w.secret("the second password of a user")
	_, err = w.root.UserChangePassword(ctx, name, password)
	w.must(err)
	as := func(password string) error {
		c, err := w.cluster.Client(func(c *clientv3.Config) { c.Username, c.Password = name, password })
		if err == nil {
			_, _ = c.Get(ctx, "/open/value")
			_ = c.Close()
		}
		return err
	}
	w.must(as(password))
	require.Error(w.t, as(w.secret("a wrong password")))
	auth := pb.NewAuthClient(w.root.ActiveConnection())
	r, err := auth.Authenticate(ctx, &pb.AuthenticateRequest{Name: name, Password: password})
	w.must(err)
	w.secrets.Plant("a token", r.Token)
	_, _ = auth.UserAdd(ctx, &pb.AuthUserAddRequest{Name: name + "-hashed", HashedPassword: w.secret("a password's hash")})
	_, _ = auth.Authenticate(ctx, &pb.AuthenticateRequest{Name: name, Password: strings.Repeat(w.secret("a long password"), 50)})
	_, err = w.root.UserDelete(ctx, name)
	w.must(err)
}

// failRequests makes requests that etcd refuses.
func (w *world) failRequests() {
	w.t.Helper()
	ctx := w.ctx()
	fails := func(_ any, err error) { w.t.Helper(); assert.Error(w.t, err) }
	secret := func() string { return w.secret("a value that etcd refuses") }
	for _, key := range []string{w.hidden(), "/open/value", "/open/db-Password"} {
		fails(w.intern.Put(ctx, key, secret()))
		fails(w.intern.Get(ctx, key))
		fails(w.intern.Delete(ctx, key))
		fails(w.intern.Txn(ctx).If(clientv3.Compare(clientv3.Value(key), "=", secret())).Then(clientv3.OpPut(key, secret())).Commit())
		fails(w.root.Put(ctx, key, strings.Repeat(secret(), 40_000))) // above etcd's 1.5 MiB
		fails(w.root.Put(ctx, key, secret(), clientv3.WithLease(4711)))
		fails(w.root.Txn(ctx).Then(clientv3.OpPut(key, secret()), clientv3.OpPut(key, secret())).Commit())
		fails(w.root.Get(ctx, key, clientv3.WithRev(1<<40)))
	}
	fails(w.root.Compact(ctx, 1<<40))
	forged := w.client(func(c *clientv3.Config) { c.Username, c.Password = "", "" })
	for _, name := range []string{"token", "authorization"} {
		forged := metadata.AppendToOutgoingContext(ctx, name, w.secret("a token that was not given"))
		// etcd takes the first token of two.
		_, _ = pb.NewKVClient(w.root.ActiveConnection()).Range(forged, &pb.RangeRequest{Key: []byte("/open/value")})
	}
	fails(pb.NewKVClient(forged.ActiveConnection()).Range(metadata.AppendToOutgoingContext(ctx, "token", w.secret("a token that was not given")), &pb.RangeRequest{Key: []byte("/open/value")}))
	snapshot, err := w.root.Snapshot(ctx)
	w.must(err)
	w.must(snapshot.Close())
}

// compact makes a gap of what nobody has read.
func (w *world) compact() {
	w.t.Helper()
	r, err := w.root.Get(w.ctx(), "/open/value")
	w.must(err)
	_, err = w.root.Compact(w.ctx(), r.Header.Revision, clientv3.WithCompactPhysical())
	w.must(err)
}

// end writes what every collector must tell in the end.
func (w *world) end() {
	w.t.Helper()
	w.changeValues("/open/value")
	w.put(w.root, lastKey, w.value())
}

// hideLast makes the change that was read last one that is excluded: the checkpoint knows
// where it is.
func (w *world) hideLast(outlets []*outlet) {
	w.t.Helper()
	r, err := w.root.Put(w.ctx(), w.hidden(), w.secret("a value below an excluded prefix"))
	w.must(err)
	for _, o := range outlets {
		o.awaitStored(w.t, r.Header.Revision)
	}
}
