// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"context"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// three is a cluster of which all members are traced, and a caller of each.
type three struct {
	*tracing
	cluster *localcluster.Cluster
	book    book
	callers map[uint64]*caller // by member id
}

func startThree(t *testing.T) *three {
	t.Helper()
	harness.NeedRoot(t)
	cluster := harness.Start(t, "3.6", localcluster.Config{Size: 3})
	c := &three{cluster: cluster, callers: map[uint64]*caller{}}
	c.tracing = follow(t, cluster, everything(pids(cluster)...), "")
	c.awaitTraced(t, pids(cluster)...)
	for _, m := range cluster.Members() {
		c.callers[m.ID] = call(t, cluster, m, &c.book)
	}
	return c
}

// leader gives the id of the leader, and those of the others.
func (c *three) leader(t *testing.T) (leader uint64, others []uint64) {
	t.Helper()
	m := c.cluster.Members()[0]
	waitFor(t, "a leader", func() bool {
		s, err := pb.NewMaintenanceClient(call(t, c.cluster, m, nil).ClientConn).Status(t.Context(), &pb.StatusRequest{})
		require.NoError(t, err)
		leader = s.Leader
		return leader != 0
	})
	for id := range c.callers {
		if id != leader {
			others = append(others, id)
		}
	}
	return leader, others
}

// judge compares all records with what was asked, and each with the member that
// was asked.
func (c *three) judge(t *testing.T) {
	t.Helper()
	last := c.book.all[len(c.book.all)-1]
	waitFor(t, "the last record", func() bool { return slices.ContainsFunc(c.Records(), last.isIn) })
	threads := map[int64]bool{}
	for _, pid := range pids(c.cluster) {
		maps.Copy(threads, threadsOf(t, pid))
	}
	c.stop()
	records := mine(c.Records(), c.book.all)
	for id, caller := range c.callers {
		for _, r := range records {
			if r.port() == caller.port {
				assert.Equal(t, memberText(id), r.resource["etcd.member.id"], r.body)
			}
		}
	}
	newProof().judge(t, cell{build: "3.6"}, c.book.all, records, threads)
}

func memberText(id uint64) string {
	a := &asked{attrs: map[string]any{}}
	return a.member(id).attrs["etcd.request.member_id"].(string)
}

func TestWhatNeedsSeveralMembersIsTracedOnTheMemberThatServedIt(t *testing.T) {
	c := startThree(t)
	for _, follower := range c.callers {
		kv := pb.NewKVClient(follower.ClientConn)
		_, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte("/by/a/follower"), Value: []byte("v")})
		require.NoError(t, err)
		_, err = kv.Range(t.Context(), &pb.RangeRequest{Key: []byte("/by/a/follower")})
		require.NoError(t, err)
	}

	leader, others := c.leader(t)
	maintenance := pb.NewMaintenanceClient(c.callers[leader].ClientConn)
	_, err := maintenance.MoveLeader(t.Context(), &pb.MoveLeaderRequest{TargetID: others[0]})
	require.NoError(t, err)
	_, err = maintenance.MoveLeader(t.Context(), &pb.MoveLeaderRequest{TargetID: others[1]})
	require.ErrorContains(t, err, "not leader")

	maintenance = pb.NewMaintenanceClient(c.callers[others[0]].ClientConn)
	for _, action := range []pb.DowngradeRequest_DowngradeAction{
		pb.DowngradeRequest_VALIDATE, pb.DowngradeRequest_ENABLE, pb.DowngradeRequest_CANCEL,
	} {
		_, err = maintenance.Downgrade(t.Context(), &pb.DowngradeRequest{Action: action, Version: "3.5.0"})
		require.NoError(t, err, action)
	}
	c.judge(t)
}

// silenced is a connection on which nothing is sent or received any more, though it
// stays.
type silenced struct {
	net.Conn
	silent atomic.Bool
}

func (s *silenced) Write(p []byte) (int, error) {
	if s.silent.Load() {
		return len(p), nil
	}
	return s.Conn.Write(p)
}

func (s *silenced) Read(p []byte) (int, error) {
	for {
		n, err := s.Conn.Read(p)
		if err != nil || !s.silent.Load() {
			return n, err
		}
	}
}

// silence gives a connection to a member, and what silences it.
func silence(t *testing.T, m *localcluster.Member) (*grpc.ClientConn, func()) {
	t.Helper()
	u, err := url.Parse(m.ClientURL)
	require.NoError(t, err)
	var line *silenced
	conn, err := grpc.NewClient("passthrough:///"+u.Host, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			dialed, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			line = &silenced{Conn: dialed}
			return line, err
		}))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = pb.NewKVClient(conn).Range(t.Context(), &pb.RangeRequest{Key: []byte("/early"), Serializable: true})
	require.NoError(t, err)
	return conn, func() { line.silent.Store(true) }
}

// A client whose deadline passes takes its request back, mostly before etcd has seen
// that the deadline passed. One that is silenced before does not.
func TestADeadlineThatPassesInEtcdIsToldAsEtcdAnsweredIt(t *testing.T) {
	const deadline = 800 * time.Millisecond
	c := startThree(t)
	leader, _ := c.leader(t)
	var at *localcluster.Member
	for _, m := range c.cluster.Members() {
		if m.ID == leader {
			at = m
			continue
		}
		require.NoError(t, m.Pause())
		t.Cleanup(func() { require.NoError(t, m.Resume()) })
	}
	late := func(key string, ask func(context.Context, pb.KVClient) error) (told record) {
		conn, silent := silence(t, at)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		time.AfterFunc(deadline/2, silent)
		err := ask(ctx, pb.NewKVClient(conn))
		require.Equal(t, codes.DeadlineExceeded, status.Code(err), "what the client is told: %v", err)
		waitFor(t, "the record of "+key, func() bool {
			all := c.Records()
			i := slices.IndexFunc(all, func(r record) bool { return r.text("etcd.key") == key })
			if i >= 0 {
				told = all[i]
			}
			return i >= 0
		})
		t.Log(told.body)
		assert.True(t, slices.ContainsFunc(givenUp, func(a answer) bool {
			return codeName(a.code) == told.text("rpc.response.status_code") && a.message == told.text("etcd.request.message")
		}), told.body)
		assert.Equal(t, memberText(leader), told.resource["etcd.member.id"])
		// However late etcd began: it ended when the deadline passed.
		ended := told.start.Add(seconds(told.attrs["etcd.request.duration"].(float64)))
		assert.Greater(t, ended.Sub(began), deadline*9/10)
		return told
	}
	late("/put", func(ctx context.Context, kv pb.KVClient) error {
		_, err := kv.Put(ctx, &pb.PutRequest{Key: []byte("/put")})
		return err
	})
	n := 0
	waitFor(t, "a deadline of which etcd's own clock tells first", func() bool {
		n++
		key := "/range/" + strconv.Itoa(n)
		told := late(key, func(ctx context.Context, kv pb.KVClient) error {
			_, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte(key)})
			return err
		})
		return told.text("rpc.response.status_code") == "DEADLINE_EXCEEDED" && told.text("error.type") == "DEADLINE_EXCEEDED"
	})
}
