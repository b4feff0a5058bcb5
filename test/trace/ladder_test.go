// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/sys/unix"

	"github.com/etcdreceiver/etcdreceiver/internal/join"
	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/receiver/trace"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
	"github.com/etcdreceiver/etcdreceiver/test/kernels/guest"
)

// proven is what one rung of the ladder has shown; test/kernels reads it.
type proven struct {
	Rung        string // "": what this kernel gives by itself
	RingBuffer  bool
	BTF         bool
	OwnPIDs     bool     `json:"-"` // its process ids are not the host's
	outside     *outside // where its etcd runs; nil: beside it
	Build       string   `json:"-"` // of etcd; "": 3.6
	Uprobes     string
	Requests    string
	Authors     string // of changes
	Syncs       string
	Connections string // and the processes of clients
	Lifecycle   string
	AfterDetach string
}

// byName are the rungs on which tracepoints are found by their names in tracefs. They
// are proven in mounts of our own.
var byName = map[string]struct{ withoutBTF, perfBuffer bool }{
	"without BTF":              {withoutBTF: true},
	"perf buffer":              {perfBuffer: true}, // which no kernel has that has other probes than perf's
	"perf buffer, without BTF": {true, true},       // as before Linux 5.5
}

const inRung = "TRACE_RUNG"

// A kernel may lack what this one has. test/kernels runs this test on other ones.
func TestEveryRungOfTheLadderTracesAllThatIsAsked(t *testing.T) {
	harness.NeedRoot(t)
	if name := os.Getenv(inRung); name != "" {
		is, settings := byName[name], everything()
		mountTracefs(t)
		if is.withoutBTF {
			mount(t, "none", "/sys/kernel/btf", "tmpfs", 0)
			if is.perfBuffer {
				t.Setenv("GOMAXPROCS", "1") // of etcd: bpf/reserve.h, what a preempted program has made
			}
		}
		settings.PerfUprobes, settings.PerfBuffer = is.perfBuffer, is.perfBuffer
		proveRung(t, &proven{Rung: name, BTF: !is.withoutBTF}, settings)
		return
	}
	t.Run("what this kernel gives", func(t *testing.T) {
		p := &proven{BTF: true}
		if by := lockdown(); by != "none" {
			p.Rung = "lockdown=" + by
		}
		proveRung(t, p, everything())
	})
	t.Run("probes by perf", func(t *testing.T) {
		if features.HaveBPFLinkUprobeMulti() != nil {
			t.Skip("this kernel has no other way, as was shown")
		}
		settings := everything()
		settings.PerfUprobes = true
		proveRung(t, &proven{Rung: "probes by perf", BTF: true}, settings)
	})
	t.Run("etcd 3.4", func(t *testing.T) {
		if _, err := os.Stat("/etcd/3.4/etcd"); guest.Inside() && err != nil {
			t.Skip("SKIPPED: Debian's etcd 3.4 could not be had, as make test-kernels has said")
		}
		proveRung(t, &proven{Rung: "etcd 3.4", Build: "3.4", BTF: true}, everything())
	})
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		t.Run(name, func(t *testing.T) {
			again := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+strings.SplitN(t.Name(), "/", 2)[0]+"$", "-test.v", "-test.timeout=10m")
			again.Env = append(os.Environ(), inRung+"="+name)
			again.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
			out, err := again.CombinedOutput()
			t.Logf("%s", out)
			require.NoError(t, err)
		})
	}
}

// mountTracefs does what a distribution does as it boots.
func mountTracefs(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/sys/kernel/tracing/events"); err != nil {
		mount(t, "none", "/sys/kernel/tracing", "tracefs", 0)
	}
}

// lacks is what programs on tracepoints need to read what is the kernel's own, and
// have not got here, "" if nothing.
func (p *proven) lacks() string {
	switch {
	case !p.RingBuffer:
		return "ring buffer"
	case !p.BTF:
		return "BTF"
	default:
		return ""
	}
}

// followsSyncs tells whether there is a way to: without BTF only on ext4, by tracefs.
func (p *proven) followsSyncs(t *testing.T) bool {
	t.Helper()
	var stat unix.Statfs_t
	require.NoError(t, unix.Statfs(t.TempDir(), &stat))
	return p.lacks() == "" || stat.Type == unix.EXT4_SUPER_MAGIC
}

// proveRung traces one etcd by settings, and compares all that is known of it.
func proveRung(t *testing.T, p *proven, settings trace.Settings) {
	t.Helper()
	before := left(t)
	settings.Disk, settings.SlowSync, settings.Rescan = true, time.Nanosecond, time.Hour
	p.RingBuffer = !settings.PerfBuffer && features.HaveMapType(ebpf.RingBuf) == nil
	build := cmp.Or(p.Build, "3.6")
	program := harness.ProgramApart(t, build, "")
	settings.Names = []string{filepath.Base(program)}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	config := localcluster.Config{Binary: program, ExtraArgs: []string{"--bcrypt-cost=4"}}
	if p.outside != nil {
		config.Binary, config.Host = p.outside.launcher(t, program), p.outside.Address
	}
	cluster, err := localcluster.Start(ctx, config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Close()) })
	earlier := connectEarlier(t, cluster)
	tr := (&tracing{window: join.NewWindow()}).follow(t, cluster, settings, "")
	tr.awaitTraced(t, pids(cluster)...)
	p.Uprobes = p.probesBy(t)

	e := &syncingEtcd{t: t, member: cluster.Members()[0], tracing: tr}
	p.Connections = proveConnections(t, tr, e.member, earlier, p)
	n := proveMixed(t, e, cluster, p)
	p.Authors = proveSigned(t, e, cluster)
	p.Lifecycle = proveLifecycle(t, e, p)
	how, known := cell{build: build}, len(tr.Records()) // ports are used again
	asked, threads := tr.play(t, cluster, how)
	proveHalfOpen(t, tr, e.member)
	proveMisses(t, tr)
	tr.stop()
	if p.OwnPIDs {
		threads = map[int64]bool{0: true} // none is told
	}
	told := slices.DeleteFunc(tr.Records()[known:], func(r record) bool { return r.event == "etcd.disk.sync" })
	newProof().judge(t, how, asked, mine(told, asked), threads)
	assert.Empty(t, tr.Lost())
	assert.NotContains(t, tr.logged(), "forgetting a process")
	defer func() {
		if t.Failed() {
			t.Logf("in the kernel were %v, and are %v", before, left(t))
		}
	}()
	waitFor(t, "the kernel to be as it was", func() bool { return assert.ObjectsAreEqual(before, left(t)) })
	if t.Failed() {
		return
	}
	p.Requests = fmt.Sprintf("%d of %d", n+len(asked), n+len(asked))
	p.AfterDetach = "nothing left"
	text, err := json.Marshal(p)
	require.NoError(t, err)
	t.Logf("rung: %s", text)
}

// proveMixed is about many requests and the syncs that they cause. It gives how many
// requests.
func proveMixed(t *testing.T, e *syncingEtcd, cluster *localcluster.Cluster, p *proven) int {
	t.Helper()
	var before disk
	if p.followsSyncs(t) {
		before = e.settled()
	}
	missed := e.tracing.Misses()
	n := e.tracing.mixed(t, cluster, 4, 100, "")
	if p.followsSyncs(t) {
		after := e.settled()
		countsAgree(t, after.since(before), e.tracing.Misses()-missed)
		for kind, name := range map[string]string{"wal": ".wal", "backend": "db"} {
			waitFor(t, "a sync that names its file", func() bool {
				return slices.ContainsFunc(e.syncs(kind), func(r record) bool { return strings.HasSuffix(r.text("file.name"), name) })
			})
		}
		if p.lacks() == "" {
			assert.NotContains(t, e.tracing.logged(), "not all can be told about syncs of etcd's files")
		}
		p.Syncs = "all"
	} else {
		assert.Contains(t, e.tracing.logged(), "syncs of etcd's files are not followed on this file system")
		p.Syncs = "no, needs ext4 or " + p.lacks()
	}
	return n
}

// mixed has clients ask a member, each so often, as root if there is a password, and
// finds the same in the records. It gives how many requests these were.
func (tr *tracing) mixed(t *testing.T, cluster *localcluster.Cluster, clients, each int, password string) int {
	t.Helper()
	asked := make([][]string, clients)
	ports := map[int]bool{}
	var all sync.WaitGroup
	for client := range clients {
		c := call(t, cluster, cluster.Members()[0], nil)
		if password != "" {
			c.is(t, "root", password)
			asked[client] = append(asked[client], "etcd.request.auth")
		}
		asked[client] = append(asked[client], mixed(t, c, client, 0))
		ports[c.port] = true
		all.Go(func() {
			for n := 1; n < each; n++ {
				asked[client] = append(asked[client], mixed(t, c, client, n))
			}
		})
	}
	all.Wait()
	requested := slices.Concat(asked...)
	var told []string
	var others []record
	defer func() {
		if t.Failed() {
			t.Logf("asked %v,\ntold %v,\nof others %v,\nlost %v", requested, told, others, tr.Lost())
		}
	}()
	waitFor(t, "as many records", func() bool {
		told, others = nil, nil
		for _, r := range tr.Records() {
			if ports[r.port()] {
				told = append(told, identity(r.event, r.attrs))
			} else {
				others = append(others, r)
			}
		}
		return len(told) >= len(requested)
	})
	assert.ElementsMatch(t, requested, told)
	return len(requested)
}

// proveSigned is about changes, and who made them.
func proveSigned(t *testing.T, e *syncingEtcd, cluster *localcluster.Cluster) string {
	t.Helper()
	c := call(t, cluster, e.member, nil)
	for n := range 20 {
		key := fmt.Appendf(nil, "/author/%d", n)
		put, err := pb.NewKVClient(c.ClientConn).Put(t.Context(), &pb.PutRequest{Key: key})
		require.NoError(t, err)
		change := &join.Change{Revision: put.Header.Revision, Key: key}
		e.tracing.window.Wait(t.Context(), change.Revision, time.Now().Add(patience))
		author, outcome := e.tracing.window.Author(change)
		require.Equal(t, join.Joined, outcome, "%s", key)
		assert.EqualValues(t, c.port, author.Client.Port())
	}
	return "all"
}

// proveMisses is about what the kernel left out: all programs are this process's.
func proveMisses(t *testing.T, tr *tracing) {
	t.Helper()
	if !guest.Inside() {
		return // others have programs too
	}
	waitFor(t, "what the kernel left out", func() bool { return tr.Misses() == misses(t) })
	t.Logf("the kernel left out %d runs of programs on tracepoints, and so many were told", tr.Misses())
}

// misses is how often this kernel has not run a program on a tracepoint, because
// another thread was in the same program on the same CPU: since Linux 7 one may be
// preempted there.
func misses(t *testing.T) (n int) {
	t.Helper()
	for id, err := ebpf.ProgramGetNextID(0); err == nil; id, err = ebpf.ProgramGetNextID(id) {
		program, err := ebpf.NewProgramFromID(id)
		require.NoError(t, err)
		if program.Type() == ebpf.Tracing || program.Type() == ebpf.TracePoint {
			stats, err := program.Stats()
			require.NoError(t, err)
			n += int(stats.RecursionMisses)
		}
		require.NoError(t, program.Close())
	}
	return n
}

// logged is all that was logged.
func (tr *tracing) logged() string {
	var all strings.Builder
	for _, e := range tr.Log.All() {
		fmt.Fprintln(&all, e.Message, e.ContextMap())
	}
	return all.String()
}

// earlier are connections that are older than the tracing.
type earlier struct {
	client *caller
	plain  net.Conn
}

func connectEarlier(t *testing.T, cluster *localcluster.Cluster) *earlier {
	t.Helper()
	e := &earlier{client: call(t, cluster, cluster.Members()[0], nil)}
	e.put(t)
	e.plain = dialPlain(t, cluster.Members()[0])
	return e
}

func (e *earlier) put(t *testing.T) {
	t.Helper()
	_, err := pb.NewKVClient(e.client.ClientConn).Put(t.Context(), &pb.PutRequest{Key: []byte("/earlier")})
	require.NoError(t, err)
}

func dialPlain(t *testing.T, m *localcluster.Member) *net.TCPConn {
	t.Helper()
	u, err := url.Parse(m.ClientURL)
	require.NoError(t, err)
	c, err := net.Dial("tcp", u.Host)
	require.NoError(t, err)
	return c.(*net.TCPConn)
}

// proveConnections is about those that come and go, how they end, and whose they are.
func proveConnections(t *testing.T, tr *tracing, m *localcluster.Member, before *earlier, p *proven) string {
	t.Helper()
	count := func(name, key string) float64 { return tr.numbers(m.Name, "etcd.network.connection."+name)[key] }
	var older float64
	waitFor(t, "those that were there before", func() bool { // also of etcd's gateway, of the cluster's client and of ours
		last := older
		older = count("count", "client")
		time.Sleep(restful)
		return older >= 2 && older == last
	})
	opened, closed, reset, missed := count("opened", "client"), count("closed", "closed client"), count("closed", "reset client"), tr.Misses()
	const each = 20
	for range each {
		require.NoError(t, dialPlain(t, m).Close())
		c := dialPlain(t, m)
		_, err := c.Write([]byte("PRI"))
		require.NoError(t, err)
		require.NoError(t, c.SetLinger(0)) // its end is a reset
		require.NoError(t, c.Close())
	}
	open := dialPlain(t, m)
	t.Cleanup(func() { _ = open.Close() })
	require.NoError(t, before.plain.Close())
	defer func() {
		if t.Failed() {
			t.Logf("of clients open %v, then %v; opened %v and %v; closed %v, reset %v, then %v", older, count("count", "client"),
				opened, count("opened", "client"), closed, reset, tr.numbers(m.Name, "etcd.network.connection.closed"))
		}
	}()
	waitFor(t, "all connections by how they ended", func() bool {
		misses := float64(tr.Misses() - missed) // mostly 0
		few := func(missing float64) bool { return 0 <= missing && missing <= misses }
		return few(opened+2*each+1-count("opened", "client")) && few(reset+each-count("closed", "reset client")) &&
			math.Abs(closed+each+1-count("closed", "closed client")) <= misses && // one whose reset was missed has closed
			few(count("count", "client")-older)
	})
	before.put(t)
	waitFor(t, "the process of a client that is older than the tracing", func() bool {
		return slices.ContainsFunc(tr.Records(), func(r record) bool {
			return r.text("etcd.key") == "/earlier" && r.text("etcd.client.process.name") == ourName()
		})
	})
	moved := tr.numbers(m.Name, "etcd.network.tcp.io")
	if p.lacks() == "" {
		assert.Positive(t, moved["client receive"])
		return "all"
	}
	assert.Empty(t, moved, "what is not known is absent")
	assert.Contains(t, tr.logged(), "not all can be told about connections of etcd map[cannot_be_told:[bytes, round trips and what was sent again: this kernel has no "+p.lacks())
	return "all but bytes and round trips"
}

// proveLifecycle is about an etcd that ends and one that begins.
func proveLifecycle(t *testing.T, e *syncingEtcd, p *proven) string {
	t.Helper()
	require.NoError(t, e.member.Kill())
	ofTracepoints := 0
	if p.lacks() != "" {
		ofTracepoints = 16 // a link and an event of each of eight
	}
	waitFor(t, "the end of all probes", func() bool { return probes(t) <= ofTracepoints })
	require.NoError(t, e.member.Restart(t.Context()))
	e.tracing.awaitTraced(t, e.member.PID())
	return "told"
}

// left are the objects in the kernel that this process holds and, where nobody else
// makes any, all that there are.
func left(t *testing.T) map[string]int {
	t.Helper()
	objects := map[string]int{}
	for _, fd := range descriptors(t) {
		if strings.Contains(fd.to, "bpf") || strings.Contains(fd.to, "perf_event") {
			objects[fd.to]++
		}
	}
	if !guest.Inside() {
		return objects
	}
	for id, err := ebpf.ProgramGetNextID(0); err == nil; id, err = ebpf.ProgramGetNextID(id) {
		objects["programs"]++
	}
	for id, err := ebpf.MapGetNextID(0); err == nil; id, err = ebpf.MapGetNextID(id) {
		objects["maps"]++
	}
	for links := new(link.Iterator); links.Next(); {
		objects["links"]++
	}
	return objects
}

// probesBy tells by which means the probes of this process are in others.
func (p *proven) probesBy(t *testing.T) string {
	t.Helper()
	by := map[string]bool{}
	for _, fd := range descriptors(t) {
		switch {
		case strings.Contains(fd.info, "link_type:\tuprobe_multi"):
			by["uprobe_multi"] = true
		case strings.Contains(fd.info, "link_type:\tperf"):
			by["perf link"] = true
		case strings.Contains(fd.to, "perf_event"):
			by["perf event"] = true
		}
	}
	if by["perf link"] { // of an event
		delete(by, "perf event")
	}
	if by["uprobe_multi"] && p.lacks() != "" { // of tracepoints
		delete(by, "perf link")
	}
	return strings.Join(slices.Sorted(maps.Keys(by)), ", ")
}
