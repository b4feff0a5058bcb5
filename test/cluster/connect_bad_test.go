// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.uber.org/zap/zapcore"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

const connectAttempts = 5

func TestConnectStartsAtOnceWhateverIsThere(t *testing.T) {
	secured, root := connectAuthCluster(t, "3.6")
	addUser(t, root, "otel", "secret", "")
	other := harness.Start(t, "3.6", localcluster.Config{TLS: true})
	for name, tc := range map[string]struct{ endpoint, more string }{
		"an etcd":                    {secured.Endpoints()[0], "username: otel\npassword: secret"},
		"a wrong password":           {secured.Endpoints()[0], "username: otel\npassword: guessed"},
		"TLS that nobody trusts":     {other.Endpoints()[0], ""},
		"nothing that listens":       {nobody, ""},
		"a host that does not exist": {"http://etcd.invalid:2379", ""},
		"a black hole":               {"http://" + connectBlackHole(t), ""},
		"a TLS black hole":           {"https://" + connectBlackHole(t), ""},
		"a black hole for a user":    {"http://" + connectBlackHole(t), "username: otel\npassword: x"},
	} {
		t.Run(name, func(t *testing.T) {
			took := time.Minute
			for range 3 { // a machine stands still now and then
				r := harness.New(t, watchYAML([]string{tc.endpoint}, "timeout: 60s", tc.more), true, true)
				began := time.Now()
				r.Start(t)
				took = min(took, time.Since(began))
				r.Stop(t)
			}
			assert.Less(t, took, time.Second, "Start waits for nothing")
		})
	}
}

// connectFails waits until both roads have failed several times, and checks that
// each told its cause once, with all of want in the line.
func connectFails(t *testing.T, r *harness.Receiver, want ...string) {
	t.Helper()
	waitFor(t, "both roads have tried several times", func() bool {
		return watchCounter(t, r, "receiver_etcd_watch_restarts", "", "") >= connectAttempts &&
			watchCounter(t, r, "receiver_etcd_scrape_errors", "call", "status") >= connectAttempts
	})
	for _, message := range []string{"the watch ended", "the member does not answer"} {
		lines := r.Log.FilterMessageSnippet(message).All()
		if assert.Len(t, lines, 1, "a cause is told once:\n%s", connectLog(r)) {
			text := fmt.Sprint(lines[0].ContextMap()["error"])
			for _, w := range want {
				assert.Contains(t, text, w, message)
			}
		}
	}
	connectOneStatus(t, r, want[0])
}

// connectPipelines is how many pipelines the receiver is in: each has a status of
// its own, which the harness collects.
const connectPipelines = 2

// connectOneStatus checks that the only status of each pipeline is a recoverable
// error.
func connectOneStatus(t *testing.T, r *harness.Receiver, want string) {
	t.Helper()
	status := r.Status()
	assert.Len(t, status, connectPipelines, "the status is told once")
	for _, ev := range status {
		assert.Equal(t, componentstatus.StatusRecoverableError, ev.Status())
		assert.ErrorContains(t, ev.Err(), want)
	}
}

// connectWell waits until the status is told a second time, and checks that it is
// OK again.
func connectWell(t *testing.T, r *harness.Receiver) {
	t.Helper()
	waitFor(t, "it is well again", func() bool { return len(r.Status()) >= 2*connectPipelines })
	for _, ev := range r.Status()[connectPipelines:] {
		assert.Equal(t, componentstatus.StatusOK, ev.Status())
	}
}

func connectLog(r *harness.Receiver) string {
	var out strings.Builder
	for _, entry := range r.Log.All() {
		standing := strings.HasPrefix(entry.Message, "no storage is configured") || strings.HasPrefix(entry.Message, "this etcd has faults of its own")
		if entry.Level >= zapcore.WarnLevel && !standing { // these two are not about the connection
			fmt.Fprintln(&out, entry.Level, entry.Message, entry.ContextMap())
		}
	}
	return out.String()
}

// connectRecovers waits until both roads work, and checks that this was told once.
func connectRecovers(t *testing.T, r *harness.Receiver) {
	t.Helper()
	watchOpened(t, r, 1)
	connectWell(t, r)
	batches := len(r.Metrics())
	waitFor(t, "metrics flow", func() bool { return len(r.Metrics()) >= batches+2 })
	assert.Len(t, r.Status(), 2*connectPipelines)
}

// connectListen answers each connection with a function, which ends when it does
// or when the test does.
func connectListen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var running sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	running.Go(func() { // ends with the listener
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			running.Go(func() { serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return listener.Addr().String()
}

func connectBlackHole(t *testing.T) string {
	return connectListen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
}

func TestConnectToWhatIsNoEtcdIsToldOnceWithAReasonAndARemedy(t *testing.T) {
	notEtcd := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(notEtcd.Close)
	notEtcdTLS := httptest.NewUnstartedServer(http.NotFoundHandler())
	notEtcdTLS.Config.ErrorLog = log.New(io.Discard, "", 0)
	notEtcdTLS.StartTLS()
	t.Cleanup(notEtcdTLS.Close)
	garbage := connectListen(t, func(conn net.Conn) {
		_, _ = conn.Write([]byte(strings.Repeat("220 mail.example.com ESMTP\r\n", 100)))
		_, _ = io.Copy(io.Discard, conn)
	})
	hangUp := connectListen(t, func(conn net.Conn) { _ = conn.Close() })
	for name, tc := range map[string]struct {
		endpoint, more string
		want           []string // the first is the endpoint
	}{
		"an HTTP server":              {notEtcd.URL, "", []string{"if the server speaks TLS", "etcd client port"}},
		"an HTTPS server":             {notEtcdTLS.URL, "tls: {insecure_skip_verify: true}", []string{"does not look like an etcd client port"}},
		"a server that says garbage":  {"http://" + garbage, "", []string{"etcd client port"}},
		"a server that hangs up":      {"http://" + hangUp, "", []string{"if the server speaks TLS", "etcd client port"}},
		"a server that never answers": {"http://" + connectBlackHole(t), "timeout: 1s", []string{"etcd client port"}},
		"nothing that listens":        {nobody, "", []string{"connection refused", "check endpoints, and that etcd runs"}},
		"a TLS black hole":            {"https://" + connectBlackHole(t), "timeout: 1s", []string{"no answer in time", "not an etcd client port"}},
		"a host that does not exist":  {"http://etcd.invalid:2379", "", []string{"check endpoints"}},
		"a socket that does not exist": {
			"unix://" + filepath.Join(t.TempDir(), "absent.sock"), "",
			[]string{"no such file or directory", "check endpoints, and that etcd runs"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := harness.Run(t, watchYAML([]string{tc.endpoint}, tc.more))
			connectFails(t, r, append([]string{tc.endpoint}, tc.want...)...)
		})
	}
}

func TestConnectWithTheWrongTLSIsToldOnceWithAReasonAndARemedy(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		secure, plain := harness.Start(t, version, localcluster.Config{TLS: true}), harness.Start(t, version, localcluster.Config{})
		other := harness.Start(t, version, localcluster.Config{TLS: true})
		files, wrong := secure.TLS(), other.TLS()
		address := strings.TrimPrefix(secure.Endpoints()[0], "https://")
		plainAddress := strings.TrimPrefix(plain.Endpoints()[0], "http://")
		t.Run("receivers", func(t *testing.T) {
			for name, tc := range map[string]struct {
				endpoint, more string
				want           []string
			}{
				"TLS to plain etcd":     {"https://" + plainAddress, "", []string{"the server speaks plain text: use http:// and no tls"}},
				"plain to TLS etcd":     {"http://" + address, "", []string{"if the server speaks TLS, use https:// or set tls"}},
				"no CA":                 {"https://" + address, "", []string{"set tls.ca_file to the CA of etcd's server certificate"}},
				"the wrong CA":          {"https://" + address, "tls: {ca_file: " + wrong.CAFile + "}", []string{"set tls.ca_file to the CA of etcd's server certificate"}},
				"no client certificate": {"https://" + address, "tls: {ca_file: " + files.CAFile + "}", []string{"etcd wants a client certificate", "set tls.cert_file and tls.key_file"}},
				"a foreign client certificate": {
					"https://" + address, fmt.Sprintf("tls: {ca_file: %s, cert_file: %s, key_file: %s}", files.CAFile, wrong.CertFile, wrong.KeyFile),
					[]string{"etcd wants a client certificate", "set tls.cert_file and tls.key_file"},
				},
				"another host name": {
					"https://" + address, fmt.Sprintf("tls: {ca_file: %s, cert_file: %s, key_file: %s, server_name_override: etcd.example.com}", files.CAFile, files.CertFile, files.KeyFile),
					[]string{"etcd.example.com", "tls.server_name_override"},
				},
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					r := harness.Run(t, watchYAML([]string{tc.endpoint}, tc.more))
					connectFails(t, r, append([]string{tc.endpoint}, tc.want...)...)
				})
			}
		})
	})
}

func TestConnectWithCertificatesThatCannotBeReadIsTold(t *testing.T) {
	c := harness.Start(t, "3.6", localcluster.Config{TLS: true})
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	good, err := os.ReadFile(c.TLS().CAFile)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(ca, good, 0o600))
	r := harness.New(t, watchYAML(c.Endpoints(), fmt.Sprintf("tls: {ca_file: %s, cert_file: %s, key_file: %s}", ca, c.TLS().CertFile, c.TLS().KeyFile)), true, true)
	require.NoError(t, os.WriteFile(ca, []byte("not a certificate"), 0o600)) // after the configuration was checked
	r.Start(t)
	t.Cleanup(func() { r.Stop(t) })
	waitFor(t, "both roads have tried", func() bool {
		return watchCounter(t, r, "receiver_etcd_watch_restarts", "", "") >= 3
	})
	assert.Equal(t, 1, r.Log.FilterMessageSnippet("cannot connect to etcd").Len(), connectLog(r))
	assert.Equal(t, 1, r.Log.FilterMessageSnippet("the watch ended").Len(), connectLog(r))
	connectOneStatus(t, r, ca)

	require.NoError(t, os.WriteFile(ca, good, 0o600))
	connectRecovers(t, r)
}
