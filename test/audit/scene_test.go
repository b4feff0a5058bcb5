// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
)

// The page's questions, by their headings.
const (
	whoDeleted   = "Who deleted this key?"
	whoWasDenied = "Who was denied, and from where?"
	whoManaged   = "Who changed users or members, who compacted, defragmented, or took a copy of it all?"
	whoWentPast  = "Who went past the API server?"
	whatIsLost   = "Is anything missing?"
)

// scene is a cluster on which several people work, and a book of what they did.
type scene struct {
	t       *testing.T
	cluster *localcluster.Cluster
	root    *clientv3.Client // for what is there before
	deeds   map[string][]string
	changes []string // revision and key
}

func passwordOf(user string) string { return user + "'s password" }

// newScene makes users and rights.
func newScene(t *testing.T, cluster *localcluster.Cluster) *scene {
	t.Helper()
	s := &scene{t: t, cluster: cluster, deeds: map[string][]string{whatIsLost: {}}}
	require.NoError(t, cluster.EnableAuth(t.Context(), passwordOf("root")))
	root, err := cluster.Client()
	s.must(err)
	t.Cleanup(func() { _ = root.Close() })
	for user, may := range map[string]authpb.Permission_Type{"otel": authpb.READ, "alice": authpb.READWRITE, "deploy-bot": authpb.READWRITE, "intern": authpb.READ} {
		key, end := "/", "0"
		switch user {
		case "otel":
			key, end = "\x00", "\x00"
		case "intern":
			key, end = "/config/", "/config0"
		}
		_, err = root.RoleAdd(t.Context(), user)
		s.must(err)
		_, err = root.RoleGrantPermission(t.Context(), user, key, end, clientv3.PermissionType(may))
		s.must(err)
		_, err = root.UserAdd(t.Context(), user, passwordOf(user))
		s.must(err)
		_, err = root.UserGrantRole(t.Context(), user, user)
		s.must(err)
	}
	s.root = root
	return s
}

func (s *scene) must(err error) {
	s.t.Helper()
	require.NoError(s.t, err)
}

func (s *scene) pause() { time.Sleep(200 * time.Millisecond) }

// as connects a user from an address of this host to one of the members.
func (s *scene) as(user, password, address string, member int) (*clientv3.Client, error) {
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	c, err := s.cluster.Client(func(cfg *clientv3.Config) {
		cfg.Endpoints = []string{s.cluster.Members()[member].ClientURL}
		cfg.Username, cfg.Password = user, password
		cfg.DialOptions = []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, to string) (net.Conn, error) {
			return from.DialContext(ctx, "tcp", to)
		})}
	})
	if err == nil {
		s.t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

func (s *scene) person(user, address string, member int) *clientv3.Client {
	s.t.Helper()
	c, err := s.as(user, passwordOf(user), address, member)
	s.must(err)
	return c
}

// changed notes what a write has changed.
func (s *scene) changed(header *pb.ResponseHeader, keys ...string) int64 {
	for _, key := range keys {
		s.changes = append(s.changes, fmt.Sprint(header.Revision, " ", key))
	}
	return header.Revision
}

// note writes down what the page must answer to a question.
func (s *scene) note(question, who, sentence string, args ...any) {
	s.deeds[question] = append(s.deeds[question], who+": "+fmt.Sprintf(sentence, args...))
}

const primary, replica = "/config/db/primary", "/config/db/replica"

// act is a day at work.
func (s *scene) act() {
	s.deleteKeys()
	s.tryWhatIsDenied()
	s.manage()
	s.writePastTheAPIServer()
}

func (s *scene) put(c *clientv3.Client, key, value string, opts ...clientv3.OpOption) {
	s.t.Helper()
	r, err := c.Put(s.t.Context(), key, value, opts...)
	s.must(err)
	s.changed(r.Header, key)
}

// deleteKeys: a key goes three times, each time in another way.
func (s *scene) deleteKeys() {
	s.t.Helper()
	ctx := s.t.Context()
	alice, bot := s.person("alice", "127.0.0.21", 0), s.person("deploy-bot", "127.0.0.17", 1)
	s.put(alice, primary, "10.0.0.5:5432")
	s.put(alice, replica, "10.0.0.6:5432")
	r, err := bot.Delete(ctx, "/config/db/", clientv3.WithPrefix())
	s.must(err)
	s.note(whoDeleted, "deploy-bot@127.0.0.17", "delete %s rev %d (was 13 B) by deploy-bot@127.0.0.17 in TOOK", primary, s.changed(r.Header, primary, replica))

	s.put(bot, primary, "10.0.0.7:5432")
	txn, err := alice.Txn(ctx).If(clientv3.Compare(clientv3.Value(primary), "=", "10.0.0.7:5432")).
		Then(clientv3.OpDelete(primary), clientv3.OpPut(replica, "10.0.0.7:5432")).Commit()
	s.must(err)
	require.True(s.t, txn.Succeeded)
	s.note(whoDeleted, "alice@127.0.0.21", "delete %s rev %d (was 13 B) by alice@127.0.0.21 in TOOK", primary, s.changed(txn.Header, primary, replica))

	lease, err := bot.Grant(ctx, 5)
	s.must(err)
	s.put(bot, primary, "10.0.0.8", clientv3.WithLease(lease.ID))
	var gone *clientv3.GetResponse
	for gone == nil || gone.Count > 0 {
		s.pause()
		gone, err = s.root.Get(ctx, primary)
		s.must(err)
	}
	s.note(whoDeleted, "deploy-bot@127.0.0.17", "delete %s rev %d (was 8 B) by the end of lease ID of deploy-bot@127.0.0.17", primary, s.changed(gone.Header, primary))
}

// tryWhatIsDenied: somebody looks where he should not, and guesses a password.
func (s *scene) tryWhatIsDenied() {
	s.t.Helper()
	ctx := s.t.Context()
	const refused = "failed: PERMISSION_DENIED (etcdserver: permission denied) in TOOK"
	intern := s.person("intern", "127.0.0.66", 2)
	_, err := intern.Get(ctx, "/payments/", clientv3.WithPrefix())
	require.ErrorIs(s.t, err, rpctypes.ErrPermissionDenied)
	s.note(whoWasDenied, "intern@127.0.0.66", "intern@127.0.0.66 range /payments/* "+refused)
	_, err = intern.Put(ctx, replica, "10.6.6.6:5432")
	require.ErrorIs(s.t, err, rpctypes.ErrPermissionDenied)
	s.note(whoWasDenied, "intern@127.0.0.66", "intern@127.0.0.66 put "+replica+" (13 B) "+refused)
	_, err = intern.UserGrantRole(ctx, "intern", "root")
	require.ErrorIs(s.t, err, rpctypes.ErrPermissionDenied)
	s.note(whoWasDenied, "intern@127.0.0.66", "intern@127.0.0.66 user grant role intern root "+refused)
	s.note(whoManaged, "intern@127.0.0.66", "intern@127.0.0.66 user grant role intern root "+refused)
	for range 2 { // refused within a stream: not told
		copied, err := intern.Snapshot(ctx)
		s.must(err)
		_, err = io.Copy(io.Discard, copied)
		require.ErrorContains(s.t, err, "permission denied")
		watched := <-intern.Watch(ctx, "/payments/", clientv3.WithPrefix())
		require.ErrorContains(s.t, watched.Err(), "permission denied")
	}
	_, err = s.as("root", "12345678", "127.0.0.66", 2)
	require.Error(s.t, err)
	s.note(whoWasDenied, "@127.0.0.66", "client@127.0.0.66 authenticate root failed: INVALID_ARGUMENT (etcdserver: authentication failed, invalid user ID or password) in TOOK")
	s.connectWithoutCertificate("127.0.0.66", 2)
	s.note(whoWasDenied, "@127.0.0.66", "127.0.0.66 was refused at the port for clients: it has shown no certificate")
}

func (s *scene) connectWithoutCertificate(address string, member int) {
	s.t.Helper()
	how := s.cluster.TLS().Config()
	how.Certificates = nil
	from := tls.Dialer{NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}, Config: how}
	c, err := from.DialContext(s.t.Context(), "tcp", strings.TrimPrefix(s.cluster.Members()[member].ClientURL, "https://"))
	if err == nil { // with TLS 1.3 a client is ready before etcd has seen what it shows
		s.must(c.SetDeadline(time.Now().Add(patience)))
		_, err = c.Read(make([]byte, 1))
		s.must(c.Close())
	}
	require.ErrorContains(s.t, err, "certificate required")
}

// manage changes what is not a key.
func (s *scene) manage() {
	s.t.Helper()
	ctx, root := s.t.Context(), s.person("root", "127.0.0.9", 0)
	did := func(sentence string, args ...any) {
		s.note(whoManaged, "root@127.0.0.9", "root@127.0.0.9 "+sentence, args...)
	}
	r, err := root.Get(ctx, replica)
	s.must(err)
	revision := r.Header.Revision
	_, err = root.UserAdd(ctx, "bob", "bob's password")
	s.must(err)
	did("user add bob -> rev %d in TOOK", revision)
	_, err = root.UserGrantRole(ctx, "bob", "root")
	s.must(err)
	did("user grant role bob root -> rev %d in TOOK", revision)
	_, err = root.Compact(ctx, revision)
	s.must(err)
	did("compact at %d -> rev %d in TOOK", revision, revision)
	_, err = root.Defragment(ctx, s.cluster.Members()[0].ClientURL)
	s.must(err)
	did("defragment in TOOK")
	copied, err := root.Snapshot(ctx)
	s.must(err)
	_, err = io.Copy(io.Discard, copied)
	s.must(err)
	s.must(copied.Close())
	did("snapshot")
	added, err := root.MemberAddAsLearner(ctx, []string{"http://127.0.0.1:1"})
	s.must(err)
	did("member add in TOOK")
	_, err = root.MemberRemove(ctx, added.Member.ID)
	s.must(err)
	did("member remove ID in TOOK")
}

// writePastTheAPIServer changes an object of Kubernetes as its API server never does.
func (s *scene) writePastTheAPIServer() {
	s.t.Helper()
	alice := s.person("alice", "127.0.0.21", 1)
	const key, value = "/registry/configmaps/shop/prices", `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"prices","namespace":"shop"},"data":{"tea":"0"}}`
	r, err := alice.Put(s.t.Context(), key, value)
	s.must(err)
	revision := s.changed(r.Header, key)
	s.note(whoWentPast, "alice@127.0.0.21", "put ConfigMap shop/prices rev %d (%d B, version 1) by alice@127.0.0.21 in TOOK, past the API server", revision, len(value))
}
