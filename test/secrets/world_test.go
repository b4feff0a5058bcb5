// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package secrets

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/authpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// secretKeys are those of which no policy may show a value.
var secretKeys = []string{
	"/open/db-Password",
	"/registry/secrets/default/s", "/kubernetes.io/secrets/default/s", "/openshift.io/secrets/default/s",
	"/vcluster/registry/secrets/default/s", "/registry/example.com/secrets/default/s",
}

const lastKey = "/open/last"

// world is an etcd with secrets.
type world struct {
	t        *testing.T
	cluster  *localcluster.Cluster
	root     *clientv3.Client
	intern   *clientv3.Client // who may do next to nothing
	password string           // of the collectors' user
	interns  string           // the intern's password
	log      tokenLog
	outlets  []*outlet // of collectors whose settings are wrong

	secrets harness.Needles
	plain   harness.Needles // values that no rule hides
	planted int
}

func newWorld(t *testing.T, version, tokens string) *world {
	t.Helper()
	w := &world{t: t}
	args := []string{"--bcrypt-cost=4", "--log-level=debug"}
	if version != "3.4" { // it logs all tokens at once, and clients of today do not get over an end of theirs
		args = append(args, "--auth-token-ttl=3")
	}
	if tokens == "jwt" {
		key := filepath.Join(t.TempDir(), "jwt.key")
		require.NoError(t, os.WriteFile(key, []byte(w.secret("the key of the tokens")), 0o600))
		args = append(args, "--auth-token=jwt,sign-method=HS256,ttl=3s,priv-key="+key)
		w.secrets.Plant("a token of anybody", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)))
	}
	w.cluster = harness.StartApart(t, version, localcluster.Config{TLS: true, LogTo: &w.log, ExtraArgs: args})
	for _, file := range []string{w.cluster.TLS().KeyFile, w.cluster.TLS().ServerKeyFile} {
		w.plantKey(file)
	}
	w.must(w.cluster.EnableAuth(w.ctx(), w.secret("root's password")))
	w.root = w.client(func(*clientv3.Config) {})
	w.password, w.interns = w.secret("the collectors' password"), w.secret("the intern's password")
	w.add("otel", w.password, "\x00", "\x00", authpb.READ)
	w.add("intern", w.interns, "/intern/", "/intern0", authpb.READWRITE)
	w.connect()
	return w
}

// connect logs in anew: not every etcd and client get over tokens that have ended.
func (w *world) connect() {
	w.t.Helper()
	w.root = w.client(func(*clientv3.Config) {})
	w.intern = w.client(func(c *clientv3.Config) { c.Username, c.Password = "intern", w.interns })
}

func (w *world) client(change func(*clientv3.Config)) *clientv3.Client {
	w.t.Helper()
	c, err := w.cluster.Client(change)
	w.must(err)
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}

// add adds a user with a role of the same name.
func (w *world) add(user, password, key, end string, may authpb.Permission_Type) {
	w.t.Helper()
	_, err := w.root.RoleAdd(w.ctx(), user)
	w.must(err)
	_, err = w.root.RoleGrantPermission(w.ctx(), user, key, end, clientv3.PermissionType(may))
	w.must(err)
	_, err = w.root.UserAdd(w.ctx(), user, password)
	w.must(err)
	_, err = w.root.UserGrantRole(w.ctx(), user, user)
	w.must(err)
}

func (w *world) must(err error) {
	w.t.Helper()
	require.NoError(w.t, err)
}

// ctx bounds one request.
func (w *world) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	w.t.Cleanup(cancel)
	return ctx
}

// secret makes one that must not be seen anywhere.
func (w *world) secret(what string) string { return w.plant(&w.secrets, what) }

// value makes one that a policy may show.
func (w *world) value() string { return w.plant(&w.plain, "a plain value") }

func (w *world) plant(n *harness.Needles, what string) string {
	secret := strings.ToLower(rand.Text() + rand.Text())[:40]
	n.Plant(what, secret)
	w.planted++
	return secret
}

// plantKey has a private key searched for, as it lies in its file and as a number.
func (w *world) plantKey(file string) {
	w.t.Helper()
	text, err := os.ReadFile(file)
	w.must(err)
	block, _ := pem.Decode(text)
	key, err := x509.ParseECPrivateKey(block.Bytes)
	w.must(err)
	lines := bytes.Split(text, []byte("\n"))
	for _, line := range lines[1 : len(lines)-2] {
		if len(line) >= 16 {
			w.secrets.Plant("a private key", string(line))
		}
	}
	raw, err := key.Bytes()
	w.must(err)
	w.secrets.Plant("a private key's number", string(raw))
	w.planted++
}

// tokenLog reads in etcd's own log which simple tokens it gave: it says so when they have
// expired.
type tokenLog struct {
	mu     sync.Mutex
	tokens map[string]string // token: user
}

func (l *tokenLog) Write(line []byte) (int, error) {
	var said struct {
		User  string `json:"user-name"`
		Token string `json:"token"`
	}
	_, text, _ := bytes.Cut(line, []byte(" ")) // the member's name
	if json.Unmarshal(text, &said) == nil && said.Token != "" {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.tokens == nil {
			l.tokens = map[string]string{}
		}
		l.tokens[said.Token] = said.User
	}
	return len(line), nil
}

func (l *tokenLog) of(user string) (tokens []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for token, of := range l.tokens {
		if of == user {
			tokens = append(tokens, token)
		}
	}
	return tokens
}

// plantTokens has all tokens searched for that etcd has given, first of all those of the
// collectors.
func (w *world) plantTokens() {
	w.t.Helper()
	for _, user := range []string{"otel", "root", "intern"} {
		waitFor(w.t, "tokens of "+user, func() bool { return len(w.log.of(user)) > 0 })
		for _, token := range w.log.of(user) {
			w.secrets.Plant("a token of "+user, token)
			w.planted++
		}
	}
}

// fail starts collectors whose settings are wrong, and lets them say so.
func (w *world) fail() {
	w.t.Helper()
	good := w.password
	w.password = w.secret("a wrong password of a collector")
	wrong := startOutlet(w.t, w, []string{"none"})
	wrong.Await(w.t, `check username`, 1)
	wrong.endBy(w.t, syscall.SIGQUIT)
	w.password = good

	file := harness.ConfigFile(w.t, fmt.Sprintf(`
receivers: {etcd: {endpoints: ["https://otel:%s@127.0.0.1:1/x"], username: otel, password: %q, tls: {key_pem: %q}}}
exporters: {nop: {}}
service: {pipelines: {logs: {receivers: [etcd], exporters: [nop]}}}
`, w.secret("a password in a URL"), w.secret("a password in the file"), w.secret("a broken key")))
	broken := &outlet{dir: w.t.TempDir(), Collector: harness.StartDistribution(w.t, nil, file)}
	select {
	case <-broken.Done():
	case <-time.After(patience):
		require.Fail(w.t, "a collector with such an endpoint has started")
	}
	w.outlets = append(w.outlets, wrong, broken)
}

func (w *world) killEtcd() {
	w.t.Helper()
	m := w.cluster.Members()[0]
	w.must(m.Kill())
	w.must(m.Restart(w.ctx()))
	w.connect()
}
