// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testTimeout bounds a test with a real cluster. A machine that also compiles needs several seconds for an election.
const testTimeout = 2 * time.Minute

// supported are the etcd minors that the package promises to start.
var supported = []string{"3.4", "3.5", "3.6", "3.7"}

// etcd gives the path of a real etcd and skips the test if there is none.
func etcd(t *testing.T, minor string) string {
	t.Helper()
	dir := os.Getenv("ETCD_BIN_DIR")
	if dir == "" {
		t.Skip("SKIPPED: ETCD_BIN_DIR is not set; `make test` builds etcd and sets it")
	}
	binary := filepath.Join(dir, minor, "etcd")
	if _, err := os.Stat(binary); err != nil {
		t.Skipf("SKIPPED: no etcd %s: %v", minor, err)
	}
	return binary
}

func startCluster(t *testing.T, cfg Config) (context.Context, *Cluster) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	c, err := Start(ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return ctx, c
}

func put(t *testing.T, ctx context.Context, c *Cluster, key string) {
	t.Helper()
	cli, err := c.Client()
	require.NoError(t, err)
	defer cli.Close()
	// A write is not repeated by the client; right after the loss of a leader it may be refused.
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		_, err := cli.Put(ctx, key, "v")
		return err == nil
	}, 30*time.Second, 100*time.Millisecond, "write %s", key)
}

func TestClusterLivesThroughTheLossOfItsLeader(t *testing.T) {
	for _, minor := range supported {
		t.Run("etcd "+minor, func(t *testing.T) {
			t.Parallel()
			ctx, c := startCluster(t, Config{Binary: etcd(t, minor), Size: 3})
			put(t, ctx, c, "before")
			lost, err := c.Leader(ctx)
			require.NoError(t, err)
			pid := lost.PID()
			require.NoError(t, lost.Kill())

			next, err := c.Leader(ctx)
			require.NoError(t, err)
			assert.NotEqual(t, lost.Name, next.Name)
			put(t, ctx, c, "while one is down")

			require.NoError(t, lost.Restart(ctx))
			assert.NotEqual(t, pid, lost.PID())
			require.Error(t, lost.Restart(ctx), "it is running")
			assert.Empty(t, c.Failed(), "every end was wanted")
		})
	}
}

func TestMembersCanBeAddedAndRemoved(t *testing.T) {
	// The oldest and the newest only: etcd makes us wait five seconds before each change.
	for _, minor := range []string{"3.4", "3.7"} {
		t.Run("etcd "+minor, func(t *testing.T) {
			t.Parallel()
			ctx, c := startCluster(t, Config{Binary: etcd(t, minor), Size: 1})
			learner, err := c.AddMember(ctx, true)
			require.NoError(t, err)
			assert.Equal(t, "n2", learner.Name)
			voter, err := c.AddMember(ctx, false)
			require.NoError(t, err)
			assert.Len(t, c.Endpoints(), 3)

			cli, err := c.Client()
			require.NoError(t, err)
			defer cli.Close()
			list, err := cli.MemberList(ctx)
			require.NoError(t, err)
			learners := map[string]bool{}
			for _, m := range list.Members {
				learners[m.Name] = m.IsLearner
			}
			assert.Equal(t, map[string]bool{"n1": false, "n2": true, "n3": false}, learners)

			require.NoError(t, c.RemoveMember(ctx, learner))
			require.NoError(t, c.RemoveMember(ctx, voter))
			assert.Len(t, c.Members(), 1)
			put(t, ctx, c, "alone again")
			assert.Empty(t, c.Failed(), "every end was wanted")
		})
	}
}

func TestAllMembersCanBeRestartedTogether(t *testing.T) {
	t.Parallel()
	ctx, c := startCluster(t, Config{Binary: etcd(t, "3.6"), Size: 3})
	put(t, ctx, c, "before")
	for _, m := range c.Members() {
		require.NoError(t, m.Stop())
	}
	require.NoError(t, c.Restart(ctx, c.Members()...))

	cli, err := c.Client()
	require.NoError(t, err)
	defer cli.Close()
	resp, err := cli.Get(ctx, "before")
	require.NoError(t, err)
	assert.Len(t, resp.Kvs, 1)
}

func TestPausedLeaderIsReplacedAndComesBack(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: no SIGSTOP on Windows")
	}
	t.Parallel()
	ctx, c := startCluster(t, Config{Binary: etcd(t, "3.6"), Size: 3})
	paused, err := c.Leader(ctx)
	require.NoError(t, err)
	require.NoError(t, paused.Pause())
	next, err := c.Leader(ctx)
	require.NoError(t, err)
	assert.NotEqual(t, paused.Name, next.Name)

	require.NoError(t, paused.Resume())
	require.Eventually(t, func() bool {
		up, _ := paused.probe(ctx)
		return up
	}, 30*time.Second, 100*time.Millisecond)
}

func TestTLSDemandsTheClientCertificate(t *testing.T) {
	for _, minor := range supported {
		t.Run("etcd "+minor, func(t *testing.T) {
			t.Parallel()
			ctx, c := startCluster(t, Config{Binary: etcd(t, minor), TLS: true})
			put(t, ctx, c, "secret")
			assert.FileExists(t, c.TLS().CAFile)
			assert.FileExists(t, c.TLS().CertFile)
			assert.FileExists(t, c.TLS().KeyFile)

			cli, err := c.Client(func(cfg *clientv3.Config) {
				cfg.TLS.Certificates = nil
				cfg.DialTimeout = time.Second
			})
			require.NoError(t, err)
			defer cli.Close()
			short, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			_, err = cli.Get(short, "secret")
			require.Error(t, err)
		})
	}
}

func TestAuthLetsOnlyRootIn(t *testing.T) {
	for _, minor := range supported {
		t.Run("etcd "+minor, func(t *testing.T) {
			t.Parallel()
			ctx, c := startCluster(t, Config{Binary: etcd(t, minor), Size: 1})
			require.NoError(t, c.EnableAuth(ctx, "correct horse"))
			put(t, ctx, c, "as root")

			cli, err := c.Client(func(cfg *clientv3.Config) { cfg.Username, cfg.Password = "", "" })
			require.NoError(t, err)
			defer cli.Close()
			_, err = cli.Get(ctx, "as root")
			require.ErrorContains(t, err, "user name is empty")

			m := c.Members()[0]
			require.NoError(t, m.Kill())
			require.NoError(t, m.Restart(ctx), "a restart logs in as root")
		})
	}
}

func TestUnwantedEndOfAMemberIsReported(t *testing.T) {
	t.Parallel()
	_, c := startCluster(t, Config{Binary: etcd(t, "3.6")})
	m := c.Members()[0]
	require.NoError(t, m.process().Kill()) // behind the member's back
	select {
	case err := <-c.Failed():
		require.ErrorContains(t, err, "member n1")
	case <-time.After(10 * time.Second):
		t.Fatal("the end was not reported")
	}
}

func TestPortTakenByAnotherProcessIsNoticed(t *testing.T) {
	t.Parallel()
	ctx, c := startCluster(t, Config{Binary: etcd(t, "3.6")})
	m := c.Members()[0]
	require.NoError(t, m.Kill())
	address, err := url.Parse(m.ClientURL)
	require.NoError(t, err)
	l, err := net.Listen("tcp", address.Host)
	require.NoError(t, err)
	defer l.Close()
	require.ErrorIs(t, m.Restart(ctx), errPortTaken)
}

func TestAnswerOfAnotherClusterIsNotTakenForOurs(t *testing.T) {
	t.Parallel()
	ctx, ours := startCluster(t, Config{Binary: etcd(t, "3.6")})
	_, theirs := startCluster(t, Config{Binary: etcd(t, "3.6")})
	m := ours.Members()[0]
	m.ClientURL = theirs.Members()[0].ClientURL
	up, err := m.probe(ctx)
	assert.False(t, up)
	require.ErrorContains(t, err, "somebody else's etcd")
}

func TestStartReportsWhyEtcdEnded(t *testing.T) {
	t.Parallel()
	_, err := Start(t.Context(), Config{Binary: etcd(t, "3.6"), ExtraArgs: []string{"--no-such-flag"}})
	require.ErrorContains(t, err, "no-such-flag")
	require.NotErrorIs(t, err, errPortTaken)
}

func TestStartNamesAMissingBinary(t *testing.T) {
	_, err := Start(t.Context(), Config{Binary: "/no/such/etcd"})
	require.ErrorContains(t, err, "/no/such/etcd")
}

func TestCloseKeepsAGivenFolderAndRemovesItsOwn(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	var log lockedBuffer
	_, kept := startCluster(t, Config{Binary: etcd(t, "3.6"), Dir: parent, LogTo: &log})
	_, temporary := startCluster(t, Config{Binary: etcd(t, "3.6")})
	require.NoError(t, kept.Close())
	require.NoError(t, temporary.Close())
	assert.DirExists(t, kept.Members()[0].DataDir)
	assert.NoDirExists(t, temporary.dir)
	assert.Contains(t, log.String(), "\nn1 {")
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
