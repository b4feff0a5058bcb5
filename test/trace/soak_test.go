// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package trace

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/internal/localcluster/child"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
	"github.com/etcdreceiver/etcdreceiver/receiver/trace"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// asCollector makes the test binary a collector that will be killed: the PID of an
// etcd and its client URL.
const asCollector = "TRACE_SOAK_COLLECTOR"

// Probes are put into an etcd and taken out of it, again and again, some by
// collectors that are killed, while 64 clients ask for all they can. TRACE_SOAK=30m
// does so for that long, a third of it with each minor.
func TestTracingNeverHarmsEtcd(t *testing.T) {
	if text := os.Getenv(asCollector); text != "" {
		pid, endpoint, _ := strings.Cut(text, " ")
		number, err := strconv.Atoi(pid)
		require.NoError(t, err)
		v := &visit{pid: number, endpoint: endpoint, mode: trace.ModeAll, traced: func() { fmt.Println(collectorTraces) }}
		v.stay(t, time.Hour)
		return
	}
	harness.NeedRoot(t)
	minors, each := []string{"3.6"}, 12*time.Second
	if text := os.Getenv("TRACE_SOAK"); text != "" {
		whole, err := time.ParseDuration(text)
		require.NoError(t, err, "TRACE_SOAK: want a duration, for example 30m")
		minors = []string{"3.6", "3.5", "3.7"}
		each = whole / time.Duration(len(minors))
	}
	for _, minor := range minors {
		t.Run(minor, func(t *testing.T) { soak(t, minor, each) })
	}
}

func soak(t *testing.T, minor string, length time.Duration) {
	complaints := &complaints{}
	cluster := harness.Start(t, minor, localcluster.Config{LogTo: complaints})
	member := cluster.Members()[0]
	pid := member.PID()
	before := held(t)
	v := &visit{pid: pid, endpoint: member.ClientURL, mode: trace.ModeAll, proc: t.TempDir()}
	waitFor(t, "an etcd that is traced", func() bool { v.stay(t, time.Second); return v.traces > 0 }) // and what is made once
	files, goroutines := openFiles(t), runtime.NumGoroutine()

	l := &load{address: address(t, member)}
	stop := l.begin(t, 64)
	rounds, killed, resident := 0, 0, 0.0
	for began := time.Now(); time.Since(began) < length && !t.Failed(); rounds++ {
		v.mode = []trace.Mode{trace.ModeNone, trace.ModeWrites, trace.ModeAll}[rounds%3]
		end := func() {}
		if rounds%3 == 0 {
			end = startCollector(t, pid, member.ClientURL, rounds%6 == 0)
			killed++
		}
		v.stay(t, rand.N(5*time.Second))
		end()
		assert.Equal(t, before, held(t), "what this process holds of the kernel's")
		waitFor(t, "the end of all probes", func() bool { return harness.LinksInto(t, pid) == 0 && isAsInFile(t, pid) })
		if rounds == 0 {
			resident = residentMiB(t, pid)
		}
	}
	stop()

	t.Logf("etcd %s: %d rounds, probes put in %d times, traced %d times, %d collectors killed; %d requests, %d of them to be refused, longest %s; memory of etcd %.0f MiB after the first round, %.0f MiB in the end; %d records lost",
		minor, rounds, v.attaches, v.traces, killed, l.made.Load(), l.refused.Load(), time.Duration(l.longest.Load()).Round(time.Millisecond),
		resident, residentMiB(t, pid), v.lost.Load())
	assert.Empty(t, l.wrong(), "answers that etcd should not have given")
	assert.Empty(t, complaints.all(), "what etcd says on levels above warn")
	assert.Empty(t, cluster.Failed())
	assert.Equal(t, pid, member.PID())
	waitFor(t, "the end of all connections", func() bool { return openFiles(t) <= files && runtime.NumGoroutine() <= goroutines })
}

// visit is a collector that comes and goes.
type visit struct {
	pid      int
	endpoint string
	mode     trace.Mode
	proc     string // a folder in which etcd is seen and hidden; empty: it is seen
	traced   func()
	leaves   bool // as soon as it traces

	attaches, traces int
	lost             atomic.Int64
}

// stay traces for some time, whatever it is about then.
func (v *visit) stay(t *testing.T, d time.Duration) {
	endpoint, err := etcdclient.ParseEndpoint(v.endpoint)
	require.NoError(t, err)
	// Not a timeout: a self-check would know of it, and fail a moment before the end.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	core, log := observer.New(zap.DebugLevel)
	tracer := &trace.Tracer{
		Settings: trace.Settings{
			Mode: v.mode, Network: true, SlowRequest: 100 * time.Millisecond, Sample: 1, Disk: true, SlowSync: time.Millisecond, RingBytes: 8 << 20,
			Rescan: 50 * time.Millisecond, Interval: 100 * time.Millisecond, PIDs: []int{v.pid}, ProcRoot: v.proc,
		},
		Cluster:  etcdclient.NewCluster(etcdclient.Settings{Endpoints: []etcdclient.Endpoint{endpoint}, Timeout: patience}, false),
		Logger:   zap.New(core),
		Format:   &logrecord.Format{Events: metadata.DefaultEventsConfig(), Body: true},
		Resource: &resource.Builder{Attributes: metadata.DefaultResourceAttributesConfig()},
		Logs:     func(context.Context, plog.Logs) error { return nil },
		Metrics:  func(context.Context, pmetric.Metrics) {},
		Lost: func(stage string, n int64) {
			v.lost.Add(n)
			assert.NotEqual(t, trace.LostDecode, stage)
		},
		Missed: func(int64) {},
		Report: func(_ int, err error) {
			if ctx.Err() == nil && !errors.Is(err, os.ErrNotExist) { // it has just been hidden
				assert.NoError(t, err)
			}
			if err == nil && v.traced != nil {
				v.traced()
			}
			if err == nil && v.leaves {
				cancel()
			}
		},
	}
	require.NoError(t, tracer.Open())
	time.AfterFunc(d, cancel)
	var meanwhile sync.WaitGroup
	if v.proc != "" {
		meanwhile.Go(func() { v.hideAndSeek(t, ctx) })
	}
	tracer.Run(ctx)
	meanwhile.Wait()
	require.NoError(t, tracer.Cluster.Close())
	v.attaches += log.FilterMessage("probes are in etcd").Len()
	v.traces += log.FilterMessage("requests of etcd are traced").Len()
	assert.Empty(t, log.FilterLevelExact(zap.ErrorLevel).All())
}

// hideAndSeek takes etcd out of the processes that are seen, and puts it back, until
// ctx ends: the programs stay in the kernel, the probes go out and in.
func (v *visit) hideAndSeek(t *testing.T, ctx context.Context) {
	name := filepath.Join(v.proc, strconv.Itoa(v.pid))
	for ctx.Err() == nil {
		assert.NoError(t, os.Symlink(filepath.Join("/proc", filepath.Base(name)), name))
		for began, stay := time.Now(), rand.N(time.Second); time.Since(began) < stay && ctx.Err() == nil; {
			time.Sleep(10 * time.Millisecond)
		}
		assert.NoError(t, os.Remove(name))
		time.Sleep(rand.N(100 * time.Millisecond))
	}
}

const collectorTraces = "etcd is traced"

// startCollector traces in another process; end kills it, as soon as it traces or
// whatever it is about.
func startCollector(t *testing.T, pid int, endpoint string, await bool) (end func()) {
	self, err := os.Executable()
	require.NoError(t, err)
	p, err := child.Start(child.Config{
		Path: self, Args: []string{"-test.run=^TestTracingNeverHarmsEtcd$", "-test.timeout=0"},
		Env: append(os.Environ(), fmt.Sprintf("%s=%d %s", asCollector, pid, endpoint)),
	})
	require.NoError(t, err)
	return func() {
		if await {
			waitFor(t, "a collector that traces", func() bool { return strings.Contains(p.Tail(), collectorTraces) })
		}
		assert.NoError(t, p.Kill())
	}
}

// load is requests of all kinds, as fast as etcd answers.
type load struct {
	address                string
	made, refused, longest atomic.Int64

	mu     sync.Mutex
	wrongs []string
}

// step is a request, and how etcd must answer it. Some are refused, some need a deep
// stack: each request is served by a goroutine that begins with a small one.
type step struct {
	code codes.Code
	ask  func(ctx context.Context, c *grpc.ClientConn, key string) error
}

var steps = []step{
	{codes.OK, func(ctx context.Context, c *grpc.ClientConn, key string) error {
		_, err := pb.NewKVClient(c).Put(ctx, &pb.PutRequest{Key: []byte(key), Value: make([]byte, 100)})
		return err
	}},
	{codes.OK, func(ctx context.Context, c *grpc.ClientConn, key string) error {
		_, err := pb.NewKVClient(c).Range(ctx, &pb.RangeRequest{Key: []byte(key)})
		return err
	}},
	{codes.OK, func(ctx context.Context, c *grpc.ClientConn, key string) error {
		_, err := pb.NewKVClient(c).Range(ctx, &pb.RangeRequest{Key: []byte(key), Serializable: true})
		return err
	}},
	{codes.OutOfRange, func(ctx context.Context, c *grpc.ClientConn, key string) error {
		_, err := pb.NewKVClient(c).Range(ctx, &pb.RangeRequest{Key: []byte(key), Revision: 1 << 40})
		return err
	}},
	{codes.OK, func(ctx context.Context, c *grpc.ClientConn, _ string) error {
		_, err := pb.NewKVClient(c).Range(ctx, &pb.RangeRequest{Key: []byte("/soak/"), RangeEnd: []byte("/soak0"), Limit: 100})
		return err
	}},
	{codes.OK, func(ctx context.Context, c *grpc.ClientConn, key string) error {
		_, err := pb.NewKVClient(c).Txn(ctx, &pb.TxnRequest{Success: []*pb.RequestOp{put(key, "one"), get(key, ""), del("/nothing", "")}})
		return err
	}},
	{codes.NotFound, func(ctx context.Context, c *grpc.ClientConn, key string) error {
		_, err := pb.NewKVClient(c).Put(ctx, &pb.PutRequest{Key: []byte(key), Lease: 4711})
		return err
	}},
	{codes.OK, func(ctx context.Context, c *grpc.ClientConn, key string) error {
		deep := &pb.TxnRequest{Success: []*pb.RequestOp{put(key, "deep")}}
		for range 50 {
			deep = &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestTxn{RequestTxn: deep}}}}
		}
		_, err := pb.NewKVClient(c).Txn(ctx, deep)
		return err
	}},
	{codes.OK, func(ctx context.Context, c *grpc.ClientConn, key string) error {
		_, err := pb.NewKVClient(c).Put(ctx, &pb.PutRequest{Key: []byte(key), Value: make([]byte, 16<<10)})
		return err
	}},
	{codes.InvalidArgument, func(ctx context.Context, c *grpc.ClientConn, _ string) error {
		_, err := pb.NewKVClient(c).Put(ctx, &pb.PutRequest{Value: []byte("no key")})
		return err
	}},
	{codes.OK, func(ctx context.Context, c *grpc.ClientConn, _ string) error {
		r, err := pb.NewLeaseClient(c).LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: 600})
		if err == nil {
			_, err = pb.NewLeaseClient(c).LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: r.ID})
		}
		return err
	}},
	{codes.OK, func(ctx context.Context, c *grpc.ClientConn, key string) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := pb.NewWatchClient(c).Watch(ctx)
		if err == nil {
			err = stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte(key)}}})
		}
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	}},
	{codes.DeadlineExceeded, func(ctx context.Context, c *grpc.ClientConn, _ string) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
		defer cancel()
		_, err := v3lockpb.NewLockClient(c).Lock(ctx, &v3lockpb.LockRequest{Name: []byte("/lock")})
		if status.Convert(err).Message() == "etcdserver: request timed out" { // it was not the lock that it waited for
			return status.FromContextError(context.DeadlineExceeded).Err()
		}
		return err
	}},
	{codes.OK, func(ctx context.Context, c *grpc.ClientConn, key string) error {
		_, err := pb.NewKVClient(c).DeleteRange(ctx, &pb.DeleteRangeRequest{Key: []byte(key)})
		return err
	}},
}

// begin lets clients ask until the end.
func (l *load) begin(t *testing.T, clients int) (end func()) {
	held, err := grpc.NewClient("passthrough:///"+l.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	lease, err := pb.NewLeaseClient(held).LeaseGrant(t.Context(), &pb.LeaseGrantRequest{TTL: 24 * 3600})
	require.NoError(t, err)
	_, err = v3lockpb.NewLockClient(held).Lock(t.Context(), &v3lockpb.LockRequest{Name: []byte("/lock"), Lease: lease.ID})
	require.NoError(t, err)
	var stopped atomic.Bool
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			for n := client; !stopped.Load(); { // a connection for a while
				c, err := grpc.NewClient("passthrough:///"+l.address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
				if err != nil {
					l.note(err.Error())
					return
				}
				for range 500 {
					if stopped.Load() {
						break
					}
					l.ask(c, steps[n%len(steps)], fmt.Sprintf("/soak/%d/%d", client, n%100))
					n++
				}
				_ = c.Close()
			}
		})
	}
	all.Go(func() { // keeps the database small
		for ; !stopped.Load(); time.Sleep(time.Second) {
			r, err := pb.NewKVClient(held).Put(context.Background(), &pb.PutRequest{Key: []byte("/compacted")})
			if err == nil {
				_, err = pb.NewKVClient(held).Compact(context.Background(), &pb.CompactionRequest{Revision: r.Header.Revision})
			}
			if err != nil {
				l.note(err.Error())
			}
		}
	})
	return func() {
		stopped.Store(true)
		all.Wait()
		assert.NoError(t, held.Close())
	}
}

func (l *load) ask(c *grpc.ClientConn, s step, key string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	began := time.Now()
	err := s.ask(ctx, c, key)
	if took := int64(time.Since(began)); took > l.longest.Load() {
		l.longest.Store(took) // of two at the same time one is forgotten
	}
	l.made.Add(1)
	if s.code != codes.OK {
		l.refused.Add(1)
	}
	if status.Code(err) != s.code {
		l.note(fmt.Sprintf("%s instead of %s: %v", status.Code(err), s.code, err))
	}
}

func (l *load) note(wrong string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.wrongs) < 20 {
		l.wrongs = append(l.wrongs, wrong)
	}
}

func (l *load) wrong() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wrongs
}

// complaints are the lines of etcd's log that are neither debug, info nor warn, and
// what is no line of its log: a panic.
type complaints struct {
	mu    sync.Mutex
	lines []string
}

func (c *complaints) Write(line []byte) (int, error) {
	_, text, _ := bytes.Cut(line, []byte(" ")) // the name of the member
	var entry struct{ Level string }
	if err := json.Unmarshal(text, &entry); err == nil && (entry.Level == "debug" || entry.Level == "info" || entry.Level == "warn") {
		return len(line), nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.lines) < 100 {
		c.lines = append(c.lines, string(line))
	}
	return len(line), nil
}

func (c *complaints) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lines
}

// isAsInFile tells whether the code of a process is that of its executable: each
// probe is a byte of it that is changed.
func isAsInFile(t *testing.T, pid int) bool {
	t.Helper()
	exe := fmt.Sprintf("/proc/%d/exe", pid)
	path, err := os.Readlink(exe)
	require.NoError(t, err)
	file, err := os.Open(exe)
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	require.NoError(t, err)
	defer func() { _ = memory.Close() }()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	require.NoError(t, err)
	compared := 0
	for line := range strings.Lines(string(maps)) {
		var from, to, offset int64
		var rights string
		if n, _ := fmt.Sscanf(line, "%x-%x %s %x", &from, &to, &rights, &offset); n != 4 || rights[2] != 'x' || !strings.HasSuffix(line, path+"\n") {
			continue
		}
		is, should := make([]byte, to-from), make([]byte, to-from)
		_, err := memory.ReadAt(is, from)
		require.NoError(t, err)
		if _, err := file.ReadAt(should, offset); err != io.EOF { // the last page
			require.NoError(t, err)
		}
		if !bytes.Equal(is, should) {
			return false
		}
		compared++
	}
	require.Positive(t, compared)
	return true
}

func openFiles(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(all)
}

func residentMiB(t *testing.T, pid int) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	require.NoError(t, err)
	pages, err := strconv.ParseFloat(strings.Fields(string(text))[1], 64)
	require.NoError(t, err)
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

func address(t *testing.T, member *localcluster.Member) string {
	t.Helper()
	u, err := url.Parse(member.ClientURL)
	require.NoError(t, err)
	return u.Host
}
