// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"io"
	"net"
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

// watchWriter writes a new key again and again. A write that failed may have been
// applied or not; only those that were acknowledged are kept.
type watchWriter struct {
	client *clientv3.Client
	stop   context.CancelFunc
	ended  chan struct{}

	mu    sync.Mutex
	acked []watchChange
}

func watchStartWriter(client *clientv3.Client) *watchWriter {
	ctx, stop := context.WithCancel(context.Background())
	w := &watchWriter{client: client, stop: stop, ended: make(chan struct{})}
	go w.run(ctx) // ends with ctx; finish waits for it
	return w
}

func (w *watchWriter) run(ctx context.Context) {
	defer close(w.ended)
	for i := 0; ctx.Err() == nil; i++ {
		key := fmt.Sprintf("/written/%06d", i)
		one, cancel := context.WithTimeout(ctx, time.Second)
		answer, err := w.client.Put(one, key, key)
		cancel()
		if err == nil {
			w.mu.Lock()
			w.acked = append(w.acked, watchChange{answer.Header.Revision, key})
			w.mu.Unlock()
		}
	}
}

func (w *watchWriter) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acked)
}

// more waits until that many further writes are acknowledged.
func (w *watchWriter) more(t *testing.T, n int) {
	t.Helper()
	before := w.count()
	waitFor(t, fmt.Sprintf("%d more writes are acknowledged", n), func() bool { return w.count() >= before+n })
}

func (w *watchWriter) finish() []watchChange {
	w.stop()
	<-w.ended
	return w.acked
}

func TestWatchDeliversEveryAcknowledgedWriteOnceWhileMembersDie(t *testing.T) {
	harness.EachVersion(t, func(t *testing.T, version string) {
		c := harness.Start(t, version, localcluster.Config{Size: 3})
		client := newClient(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // six restarts and their elections
		t.Cleanup(cancel)
		r := watchRun(t, watchYAML(c.Endpoints()), 1, nil)
		w := watchStartWriter(client)
		t.Cleanup(func() { w.finish() })
		w.more(t, 50)

		leader, err := c.Leader(ctx)
		require.NoError(t, err)
		require.NoError(t, leader.Kill())
		w.more(t, 50)
		require.NoError(t, leader.Restart(ctx))
		w.more(t, 50)
		for _, m := range c.Members() { // one of them serves the watch
			require.NoError(t, m.Kill())
			w.more(t, 20)
			require.NoError(t, m.Restart(ctx))
		}
		orderly := c.Members()[1]
		require.NoError(t, orderly.Stop())
		require.NoError(t, orderly.Restart(ctx))
		w.more(t, 20)

		acked := w.finish()
		last := watchPut(t, client, "/last", "")
		watchArrived(t, r, last, "/last")
		got := watchChanges(r)
		times := map[watchChange]int{}
		for i, change := range got {
			times[change]++
			if i > 0 {
				require.Greater(t, change.revision, got[i-1].revision, "order, and each revision once")
			}
		}
		for _, change := range acked {
			require.Equal(t, 1, times[change], "%v", change)
		}
		assert.Empty(t, watchNamed(r, "etcd.watch.gap"))
		restarts := watchCounter(t, r, "receiver_etcd_watch_restarts", "", "")
		assert.Positive(t, restarts, "the member that served the watch was killed")
		t.Logf("etcd %s: %d writes acknowledged, %d changes, the watch was opened %d times again", version, len(acked), len(got), restarts)
	})
}

// watchProxy is a fixed TCP or unix address in front of a server that can change.
type watchProxy struct {
	listener net.Listener
	backend  atomic.Value // string
	running  sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool
	closed bool
}

func watchStartProxy(t *testing.T, network, address, backend string) *watchProxy {
	t.Helper()
	listener, err := net.Listen(network, address)
	require.NoError(t, err)
	p := &watchProxy{listener: listener, conns: map[net.Conn]bool{}}
	p.backend.Store(backend)
	p.running.Go(p.accept) // ends with the listener
	t.Cleanup(p.close)
	return p
}

func (p *watchProxy) address() string { return p.listener.Addr().String() }

func (p *watchProxy) accept() {
	for {
		front, err := p.listener.Accept()
		if err != nil {
			return
		}
		back, err := net.Dial("tcp", p.backend.Load().(string))
		if err != nil {
			_ = front.Close()
			continue
		}
		if !p.keep(front, back) {
			return
		}
		for _, way := range [][2]net.Conn{{front, back}, {back, front}} {
			p.running.Go(func() { // ends when either end closes
				_, _ = io.Copy(way[0], way[1])
				_ = way[0].Close()
				_ = way[1].Close()
			})
		}
	}
}

func (p *watchProxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		p.conns[conn] = true
		if p.closed {
			_ = conn.Close()
		}
	}
	return !p.closed
}

// cut closes all connections, and sends new ones to another server.
func (p *watchProxy) cut(backend string) {
	p.backend.Store(backend)
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close()
	}
	clear(p.conns)
}

func (p *watchProxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cut("")
	p.running.Wait()
}

func TestWatchTellsAGapWhenAnotherClusterAnswers(t *testing.T) {
	before, after := harness.Start(t, "3.6", localcluster.Config{}), harness.Start(t, "3.6", localcluster.Config{})
	addressOf := func(c *localcluster.Cluster) string { return c.Members()[0].ClientURL[len("http://"):] }
	proxy := watchStartProxy(t, "tcp", "127.0.0.1:0", addressOf(before))
	r := watchRun(t, watchYAML([]string{"http://" + proxy.address()}, "discover_members: false"), 1, nil)
	last := watchPut(t, newClient(t, before), "/last-of-the-first", "")
	watchArrived(t, r, last, "/last-of-the-first")

	second := newClient(t, after)
	for range 5 {
		watchPut(t, second, "/not-followed", "")
	}
	proxy.cut(addressOf(after))
	watchOpened(t, r, 2)
	revision := watchPut(t, second, "/first-of-the-second", "")
	watchArrived(t, r, revision, "/first-of-the-second")

	gaps := watchNamed(r, "etcd.watch.gap")
	require.Len(t, gaps, 1)
	assert.Equal(t, map[string]any{
		"event.name": "etcd.watch.gap", "etcd.gap.source": "watch", "etcd.gap.reason": "history_changed",
		"etcd.gap.from_revision": last + 1, "etcd.gap.next_revision": revision,
	}, gaps[0].Attrs, "the end of a history that is gone is not known")
	assert.Equal(t, hexID(before.ID()), gaps[0].Resource["etcd.cluster.id"])
	records := watchNamed(r, "etcd.kv.put")
	require.Len(t, records, 3)
	for _, record := range records[1:] {
		assert.Equal(t, hexID(after.ID()), record.Resource["etcd.cluster.id"])
	}
	assert.Equal(t, "resync", records[1].Attrs["etcd.kv.origin"], "the other cluster's keys are told")
	assert.Equal(t, "/not-followed", records[1].Attrs["etcd.key"])
	assert.NotContains(t, records[2].Attrs, "etcd.kv.origin")
}
