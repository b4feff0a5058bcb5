// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
	"github.com/etcdreceiver/etcdreceiver/test/kernels/guest"
)

// outside is the host around a place, on which etcd runs while the collector is within.
type outside struct {
	Bridge, Address string // of a network that a place can join; Address is the host's
	Program         string // of the etcd that runs there
	PID             int
	URL             string
}

const fromOutside = "TRACE_OUTSIDE"

// outerNetwork is the descriptor of the host's network name space, see goTo.
const outerNetwork = 3

// newOutside makes a network. 198.19.0.0/16 is reserved for tests of networks (RFC 2544).
func newOutside(t *testing.T) *outside {
	t.Helper()
	for _, program := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			harness.NotHere(t, "the program "+program+" is missing")
		}
	}
	o := &outside{Bridge: fmt.Sprintf("bo%d%c", os.Getpid()%100000, 'a'+spreads.Add(1)%26), Address: fmt.Sprintf("198.19.%d.1", os.Getpid()%250+1)}
	if out, err := exec.Command("ip", "link", "add", o.Bridge, "type", "bridge").CombinedOutput(); err != nil {
		harness.NotHere(t, "bridges do not work here: "+string(out))
	}
	t.Cleanup(func() { run(t, "ip", "link", "del", o.Bridge) })
	run(t, "ip", "addr", "add", o.Address+"/24", "dev", o.Bridge)
	run(t, "ip", "link", "set", o.Bridge, "up")
	return o
}

// start runs an etcd that serves clients at an address of the host.
func (o *outside) start(t *testing.T, address string) {
	t.Helper()
	o.Program = harness.ProgramApart(t, "3.6", "")
	cluster, err := localcluster.Start(t.Context(), localcluster.Config{Binary: o.Program, Host: address})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Close()) })
	o.PID, o.URL = cluster.Members()[0].PID(), cluster.Endpoints()[0]
}

func (o *outside) tell(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(o)
	require.NoError(t, err)
	t.Setenv(fromOutside, string(text))
}

// around is the host around this place.
func around(t *testing.T) *outside {
	t.Helper()
	var o outside
	require.NoError(t, json.Unmarshal([]byte(os.Getenv(fromOutside)), &o))
	return &o
}

// join takes a place that has a network of its own into that of the host.
func (o *outside) join(t *testing.T) {
	t.Helper()
	host := fmt.Sprintf("--net=/proc/%d/fd/%d", os.Getpid(), outerNetwork)
	link := o.Bridge + "e" // goes with this place
	run(t, "nsenter", host, "ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", strconv.Itoa(os.Getpid()))
	run(t, "nsenter", host, "ip", "link", "set", link, "master", o.Bridge, "up")
	run(t, "ip", "addr", "add", strings.TrimSuffix(o.Address, ".1")+".2/24", "dev", "eth0")
	run(t, "ip", "link", "set", "eth0", "up")
}

// launcher is a program that runs another one in the name spaces of the host.
func (o *outside) launcher(t *testing.T, program string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, "#!/bin/sh\nexec nsenter --target=%d --net --mount %s \"$@\"\n", os.Getppid(), program), 0o755))
	return path
}

func run(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	require.NoError(t, err, "%s: %s", strings.Join(args, " "), out)
}

const (
	seesNone  = "requests are not traced until an etcd begins; changes and status are not affected"
	notTraced = "requests of an etcd process are not traced"
	grantPIDs = "no etcd process is seen: the collector has a name space of process ids of its own and does not see those outside: let it share those of the host, " +
		"in Kubernetes with hostPID: true, or those of etcd beside it with shareProcessNamespace: true"
	grantNetwork = "no endpoint leads to it: add one of its client URLs to endpoints, with what it needs of tls and username; " +
		"it has another network than the collector, and so do its own client URLs: endpoints need one that leads to it from here, " +
		"or the collector its network, in Kubernetes with hostNetwork: true: "
)

// placesApart are those of a collector that watches an etcd outside of them.
var placesApart = map[string]struct {
	flags    uintptr
	reaches  bool   // the etcd is at an address that leads to it from within
	another  bool   // within is another etcd at that address
	line     string // why requests are not traced, "" if they are
	grant    string
	answered bool // what takes endpoints, the changes and the status, is told
}{
	"process ids and a network of its own, endpoints that lead there": {
		flags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNET, reaches: true, line: seesNone, grant: grantPIDs, answered: true,
	},
	"process ids and a network of its own, endpoints that lead nowhere": {
		flags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNET, line: seesNone, grant: grantPIDs,
	},
	"a network of its own, endpoints that lead there": {
		flags: syscall.CLONE_NEWNET, reaches: true, answered: true,
	},
	"a network of its own, endpoints that lead nowhere": {
		flags: syscall.CLONE_NEWNET, line: notTraced, grant: grantNetwork,
	},
	"a network of its own, endpoints that lead to another etcd": {
		flags: syscall.CLONE_NEWNET, another: true, line: notTraced, grant: grantNetwork, answered: true, // of the other one
	},
}

// TestACollectorApartFromEtcdTracesItOrSaysInOneLineWhatToGrant: etcd runs on the host,
// the collector in mounts, a network and perhaps process ids of its own.
func TestACollectorApartFromEtcdTracesItOrSaysInOneLineWhatToGrant(t *testing.T) {
	harness.NeedRoot(t)
	if guest.Inside() {
		t.Skip("a virtual machine has no other program than this one")
	}
	if _, ok := placesApart[os.Getenv(inPlace)]; ok {
		within(t, os.Getenv(inPlace))
		return
	}
	for name, p := range placesApart {
		t.Run(name, func(t *testing.T) {
			o := newOutside(t)
			if p.reaches {
				o.start(t, o.Address)
			} else {
				o.start(t, "")
			}
			o.tell(t)
			goTo(t, name, place{flags: p.flags})
		})
	}
}

func within(t *testing.T, name string) {
	t.Helper()
	p, o := placesApart[name], around(t)
	require.NoError(t, guest.Loopback())
	if p.flags&syscall.CLONE_NEWPID != 0 {
		ownPIDs.enter(t)
	}
	if p.reaches {
		o.join(t)
	}
	if p.another {
		port := o.URL[strings.LastIndexByte(o.URL, ':'):]
		other := exec.Command(harness.Binary(t, "3.6"), "--data-dir="+t.TempDir(), "--unsafe-no-fsync", "--listen-peer-urls=http://127.0.0.1:0",
			"--listen-client-urls=http://127.0.0.1"+port, "--advertise-client-urls=http://127.0.0.1"+port)
		other.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		require.NoError(t, other.Start())
		t.Cleanup(func() { _ = other.Process.Kill(); _ = other.Wait() })
		waitFor(t, "the other etcd", func() bool {
			c, err := net.Dial("tcp", "127.0.0.1"+port)
			if err == nil {
				_ = c.Close()
			}
			return err == nil
		})
	}
	for _, mode := range []string{"required", "auto"} {
		r := harness.New(t, fmt.Sprintf(`
endpoints: [%s]
ebpf: {mode: %s, events: {mode: all}, processes: {names: [%s], rescan: 100ms}}`, o.URL, mode, filepath.Base(o.Program)), true, true)
		r.Start(t)
		if p.answered {
			proveByEndpoints(t, r, o, p.line == "")
		}
		if p.line != "" {
			proveOneLine(t, r, p.line, p.grant)
		}
		if p.line != "" && p.answered { // else the road of changes is not well either
			assert.Equal(t, mode == "required", unwell(r, p.grant), "the component status")
		}
		r.Stop(t)
	}
}

// proveByEndpoints is about changes and status, and of an etcd that is traced about who
// made the changes.
func proveByEndpoints(t *testing.T, r *harness.Receiver, o *outside, traced bool) {
	t.Helper()
	if traced {
		waitFor(t, "an etcd that is traced", func() bool { return r.Log.FilterMessage("requests of etcd are traced").Len() > 0 })
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{o.URL}, Logger: zap.NewNop()})
	require.NoError(t, err)
	defer func() { _ = client.Close() }()
	waitFor(t, "a watch", func() bool { return r.Log.FilterMessage("watching").Len() > 0 })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	put, err := client.Put(ctx, "/apart", "value")
	require.NoError(t, err)
	waitFor(t, "the change", func() bool {
		for _, record := range r.Records() {
			if record.Name == "etcd.kv.put" && record.Attrs["etcd.kv.mod_revision"] == put.Header.Revision {
				assert.Equal(t, traced, record.Attrs["client.address"] != nil, "who made it")
				return true
			}
		}
		return false
	})
	waitFor(t, "the status", func() bool {
		return slices.ContainsFunc(r.Metrics(), func(b harness.MetricsBatch) bool {
			_, ok := find(b.Metrics, "etcd.revision.current") // which only an answer has
			return ok
		})
	})
}

func proveOneLine(t *testing.T, r *harness.Receiver, line, grant string) {
	t.Helper()
	waitFor(t, "the line", func() bool { return r.Log.FilterMessage(line).Len() > 0 })
	time.Sleep(time.Second) // some rescans
	all := r.Log.FilterMessage(line).All()
	require.Len(t, all, 1)
	why := fmt.Sprint(all[0].ContextMap()["error"])
	assert.Contains(t, why, grant)
	assert.NotContains(t, why, "\n")
	fmt.Println("says:", line, why)
	assert.Zero(t, r.Log.FilterMessage("requests of etcd are traced").Len())
}

// unwell tells whether the status of the component was an error that says something.
func unwell(r *harness.Receiver, why string) bool {
	return slices.ContainsFunc(r.Status(), func(e *componentstatus.Event) bool {
		return e.Status() == componentstatus.StatusRecoverableError && strings.Contains(e.Err().Error(), why)
	})
}

// TestAnEtcdInAnotherNetworkIsTracedWithAllThatIsAsked, where an endpoint leads to it.
func TestAnEtcdInAnotherNetworkIsTracedWithAllThatIsAsked(t *testing.T) {
	harness.NeedRoot(t)
	if guest.Inside() {
		t.Skip("a virtual machine has no other program than this one")
	}
	if os.Getenv(inPlace) != "" {
		require.NoError(t, guest.Loopback())
		o := around(t)
		o.join(t)
		proveRung(t, &proven{Rung: os.Getenv(inPlace), BTF: true, outside: o}, everything())
		return
	}
	o := newOutside(t)
	o.tell(t)
	goTo(t, "a network of its own", place{flags: syscall.CLONE_NEWNET})
}
