// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/internal/localcluster/freeport"
)

const (
	patience = 60 * time.Second // for what must come; the machine may be busy
	lastKey  = "/the-end"
)

// binary is a program that a variable points at.
func binary(t *testing.T, variable, below, remedy string) string {
	t.Helper()
	path := filepath.Join(os.Getenv(variable), below)
	if info, err := os.Stat(path); os.Getenv(variable) == "" || err != nil || info.IsDir() {
		notHere(t, fmt.Sprintf("%s/%s is missing (%q): %s", variable, below, path, remedy))
	}
	return path
}

// notHere skips a scenario that this machine cannot play. CI must skip nothing.
func notHere(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("CI must skip nothing: " + why)
	}
	t.Skip("NOT PROVEN: " + why)
}

func etcdBinary(t *testing.T) string {
	return binary(t, "ETCD_BIN_DIR", "3.6/etcd", "run `make test`, which builds it")
}

func distribution(t *testing.T) string { return binary(t, "OTELCOL_ETCD", "", "run `make build`") }

// world is all that one run of a scenario needs.
type world struct {
	t         *testing.T
	rng       *rand.Rand
	seed      uint64
	long      bool // soak
	dir       string
	load      LoadConfig
	cluster   *localcluster.Cluster
	backend   *Backend
	collector *Collector
	config    *Config
	rules     Rules
	proxies   []*Proxy // between collector and members
	leases    Leases
	histories []*history
}

// history is one course of revisions and who wrote and read it.
type history struct {
	cluster   string // id
	dial      func() (*clientv3.Client, error)
	client    *clientv3.Client
	base      int64
	load      *Load
	reference *Reference
	compacted int64
	problems  []string
}

func newWorld(t *testing.T, s *scenario, seed uint64, long bool) *world {
	t.Helper()
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 0)), seed: seed, long: long, dir: t.TempDir(), load: s.load, rules: Rules{EndKey: lastKey, First: 1}}
	w.load.Seed = seed
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	w.cluster, err = localcluster.Start(ctx, localcluster.Config{
		Binary: etcdBinary(t), Size: max(s.size, 1), ExtraArgs: append([]string{"--unsafe-no-fsync"}, s.args...),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.cluster.Close()) })
	sink, err := freeport.Address() // which nobody else gets while it is closed
	require.NoError(t, err)
	w.backend, err = StartBackend(sink)
	require.NoError(t, err)
	t.Cleanup(w.backend.Close)

	w.config = &Config{Dir: w.dir, Endpoints: w.cluster.Endpoints(), Sink: w.backend.Addr(), Receiver: map[string]any{}, Watch: map[string]any{}}
	if s.resumes {
		w.config.Storage = filepath.Join(w.dir, "storage")
	}
	var log func(string)
	if os.Getenv("FAULTS_VERBOSE") != "" {
		log = func(line string) { fmt.Fprintln(os.Stderr, "   ", line) }
	}
	w.collector = NewCollector(distribution(t), w.config, w.backend, log)
	t.Cleanup(w.collector.Close)
	t.Cleanup(func() {
		if t.Failed() && w.collector.proc != nil {
			t.Logf("last lines of the collector:\n%s", w.collector.Tail())
		}
	})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	require.NoError(w.t, err)
}

// context bounds one step.
func (w *world) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	w.t.Cleanup(cancel)
	return ctx
}

// pause lets the load go on for about that long; twice as long in the soak.
func (w *world) pause(about time.Duration) {
	if w.long {
		about *= 2
	}
	time.Sleep(about/2 + time.Duration(w.rng.Int64N(int64(about))))
}

// await waits for what must come.
func (w *world) await(what string, holds func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		require.True(w.t, time.Now().Before(end), "there was never %s", what)
	}
}

// meets lets the backend refuse for a while, and once at least.
func (w *world) meets(m mode, a time.Duration) {
	w.t.Helper()
	before := w.backend.Refused()
	w.backend.Set(m)
	w.pause(a)
	w.await("a request that is refused", func() bool { return w.backend.Refused() > before })
}

// open begins a history on the world's cluster.
func (w *world) open() *history { return w.openOn(w.cluster.ID(), 0, w.dial) }

func (w *world) dial() (*clientv3.Client, error) { return w.cluster.Client() }

// openOn begins a history after base; what was there at base is known from the history before.
func (w *world) openOn(cluster uint64, base int64, dial func() (*clientv3.Client, error)) *history {
	h := &history{cluster: fmt.Sprintf("%016x", cluster), base: base, dial: dial}
	var err error
	h.client, err = dial()
	w.must(err)
	w.t.Cleanup(func() { _ = h.client.Close() })
	if base == 0 {
		answer, err := h.client.Get(w.context(), "", clientv3.WithPrefix(), clientv3.WithCountOnly())
		w.must(err)
		if answer.Count != 0 || answer.Header.Revision != 1 {
			h.problems = append(h.problems, fmt.Sprintf("the database was not empty: %d keys at revision %d", answer.Count, answer.Header.Revision))
		}
	}
	h.reference = StartReference(dial, max(base, 0)+1)
	w.t.Cleanup(func() { h.reference.Stop() })
	w.histories = append(w.histories, h)
	return h
}

func (w *world) now() *history { return w.histories[len(w.histories)-1] }

// write begins the load on the present history.
func (w *world) write() {
	h := w.now()
	cfg := w.load
	cfg.Seed += uint64(len(w.histories))
	h.load = StartLoad(h.client, &w.leases, cfg)
	w.t.Cleanup(h.load.Stop)
}

// begin starts everything: nothing is written before the collector watches.
func (w *world) begin() {
	w.open()
	w.must(w.collector.Start(w.context()))
	w.write()
	w.pause(time.Second)
}

// revision is the present revision of etcd.
func (w *world) revision() int64 {
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
		answer, err := w.now().client.Get(ctx, lastKey)
		cancel()
		if err == nil {
			return answer.Header.Revision
		}
		require.True(w.t, time.Now().Before(end), "etcd does not answer: %v", err)
	}
}

// arrived waits until a revision of the present cluster, or a later one, has reached the sink, in every stream.
func (w *world) arrived(revision int64) {
	w.t.Helper()
	cluster, run := w.now().cluster, len(w.collector.Runs())
	for _, s := range w.rules.streams() {
		w.must(w.backend.Wait(w.context(), fmt.Sprintf("revision %d of %q", revision, s.prefix), func(r *Record) bool {
			at, ok := r.integer("etcd.kv.mod_revision")
			return ok && at >= revision && r.Cluster == cluster && r.Run <= run && r.text("etcd.kv.origin") == "" &&
				strings.HasPrefix(r.text("etcd.key"), s.prefix)
		}))
	}
}

// finish writes the end marker of each stream, waits for all and judges.
func (w *world) finish() Verdict {
	w.t.Helper()
	h := w.now()
	h.load.Stop()
	markers := w.rules.endKeys()
	end, err := h.load.Put(w.context(), markers...)
	w.must(err)
	ctx, cancel := context.WithCancel(w.context())
	defer cancel()
	go func() { // ends with ctx
		select {
		case <-w.collector.Ended():
			cancel() // nothing more will come
		case <-ctx.Done():
		}
	}()
	var waiting error
	for _, marker := range markers {
		waiting = errors.Join(waiting, w.backend.Wait(ctx, fmt.Sprintf("the end marker %q", marker), func(r *Record) bool {
			at, _ := r.integer("etcd.kv.mod_revision")
			return r.text("etcd.key") == marker && at >= end && r.Cluster == h.cluster
		}))
	}
	if waiting != nil {
		w.t.Log(waiting) // the verdict will say what is missing
	} else if w.collector.HasEnded() {
		w.t.Errorf("the collector ended by itself; its last lines:\n%s", w.collector.Tail())
	}
	// Killed: leases still expire, and what an orderly end in the midst of a request does is a scenario of its own.
	w.collector.Close()
	arrived := w.backend.Records()
	for i := len(arrived) - 1; i >= 0 && arrived[i].Cluster == h.cluster && arrived[i].text("etcd.gap.reason") != reasonHistory; i-- {
		if at, ok := arrived[i].integer("etcd.kv.mod_revision"); ok {
			end = max(end, at) // a lease may have expired after the marker
		}
	}
	w.must(h.reference.Wait(w.context(), end))
	return Verify(w.truth(), arrived, w.collector.Runs(), w.rules)
}

func (w *world) truth() Truth {
	var observed []Observed
	for _, h := range w.histories {
		h.load.Stop()
		o := Observed{Cluster: h.cluster, Base: h.base, Compacted: h.compacted, Leases: w.leases.all(), Problems: h.problems}
		var problems []string
		o.Seen, problems = h.reference.Stop()
		o.Problems = append(o.Problems, problems...)
		o.Writes, problems = h.load.Writes()
		o.Problems = append(o.Problems, problems...)
		if h.base > 0 {
			o.BaseState = w.stateBefore(observed, h.base)
		}
		answered, failed := h.load.Counts()
		w.t.Logf("%d writes were answered, %d may have happened", answered, failed)
		observed = append(observed, o)
	}
	return BuildTruth(observed)
}

// stateBefore is the state of the last history at a revision.
func (w *world) stateBefore(observed []Observed, revision int64) Space {
	last := observed[len(observed)-1]
	h := History{BaseState: last.BaseState, Changes: last.Seen}
	return h.stateAt(revision)
}
