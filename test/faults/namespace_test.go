// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// namespace is the name of a network namespace.
type namespace string

// link is the one to etcd.
func (n namespace) link() string { return string(n) + "e" }

// isolate puts the collector into a network namespace of its own, with one link to etcd and another one to the sink.
func (w *world) isolate() namespace {
	if _, err := exec.LookPath("ip"); err != nil || os.Getuid() != 0 {
		notHere(w.t, "network namespaces need root and the program ip")
	}
	name := fmt.Sprintf("flt%d", os.Getpid())
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		notHere(w.t, "network namespaces do not work here: "+string(out))
	}
	w.t.Cleanup(func() { w.run("ip", "netns", "del", name) })
	// 198.18.0.0/15 is reserved for tests of networks (RFC 2544); test/trace has those below 198.18.251.
	for i, link := range []string{name + "e", name + "s"} {
		w.run("ip", "link", "add", link, "type", "veth", "peer", "name", "p"+link, "netns", name)
		w.t.Cleanup(func() { _ = exec.Command("ip", "link", "del", link).Run() })
		w.run("ip", "addr", "add", fmt.Sprintf("198.18.%d.1/24", 251+i), "dev", link)
		w.run("ip", "link", "set", link, "up")
		w.run("ip", "-n", name, "addr", "add", fmt.Sprintf("198.18.%d.2/24", 251+i), "dev", "p"+link)
		w.run("ip", "-n", name, "link", "set", "p"+link, "up")
	}
	w.config.Endpoints = []string{"http://" + w.proxy("198.18.251.1:0", w.cluster.Members()[0], nil).Addr()}

	w.backend.Close()
	w.backend.addr = "198.18.252.1:0"
	w.must(w.backend.Open())
	w.config.Sink = w.backend.Addr()
	w.collector.Prefix = []string{"ip", "netns", "exec", name}
	return namespace(name)
}

func (w *world) run(command ...string) {
	w.t.Helper()
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil {
		w.must(fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, out))
	}
}

// The host name of etcd, and the addresses that it has, one after the other.
const (
	etcdName   = "etcd.faults.test"
	oldAddress = "198.18.251.1" // that isolate gives
	newAddress = "198.18.253.1"
)

// name lets the collector know etcd by name only, with a second address that the name does not have yet. The name is in
// a file that no other process sees.
func (n namespace) name(w *world) {
	w.run("ip", "addr", "add", newAddress+"/24", "dev", n.link())
	w.run("ip", "-n", string(n), "addr", "add", "198.18.253.2/24", "dev", "p"+n.link())
	_, port, err := net.SplitHostPort(w.proxies[0].Addr())
	w.must(err)
	w.proxy(net.JoinHostPort(newAddress, port), w.cluster.Members()[0], nil)
	w.config.Endpoints = []string{"http://" + net.JoinHostPort(etcdName, port)}
	dir := filepath.Dir(n.hosts())
	w.must(os.MkdirAll(dir, 0o755))
	w.t.Cleanup(func() {
		w.must(os.RemoveAll(dir))
		_ = os.Remove(filepath.Dir(dir)) // unless others use it
	})
	n.nameIs(w, oldAddress)
}

// hosts is what `ip netns exec` puts in the place of /etc/hosts.
func (n namespace) hosts() string { return filepath.Join("/etc/netns", string(n), "hosts") }

// nameIs writes in place: a new file of that name would not be the one that the collector sees.
func (n namespace) nameIs(w *world, address string) {
	w.must(os.WriteFile(n.hosts(), fmt.Appendf(nil, "%s %s\n", address, etcdName), 0o644))
}

// removeOld takes the old address away without a word, as the death of a host does.
func (n namespace) removeOld(w *world) {
	w.run("ip", "addr", "del", oldAddress+"/24", "dev", n.link())
}
