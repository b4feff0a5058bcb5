// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
)

// networkFaults break what lies between collector and members.
func networkFaults() []scenario {
	var proxies []*Proxy
	var rotated *identities
	var link string
	return []scenario{
		{name: "dead member first", prepare: func(w *world) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			w.must(err)
			dead := l.Addr().String()
			w.must(l.Close())
			w.config.Endpoints = append([]string{"http://" + dead}, w.config.Endpoints...)
		}, fault: func(w *world) {
			m := w.cluster.Members()[0]
			w.must(m.Kill())
			w.pause(500 * time.Millisecond)
			w.must(m.Restart(w.context()))
			w.pause(time.Second)
		}, want: noGaps},
		{name: "partition from one member", size: 3, prepare: func(w *world) {
			proxies, w.config.Endpoints = nil, nil
			for _, m := range w.cluster.Members() {
				p := w.proxyTo(m.ClientURL)
				proxies = append(proxies, p)
				w.config.Endpoints = append(w.config.Endpoints, "http://"+p.Addr())
			}
		}, fault: func(w *world) {
			proxies[0].Hole(true)
			w.pause(4 * time.Second)
			proxies[0].Hole(false)
			w.pause(time.Second)
		}, want: noGaps},
		{name: "partition from all members", prepare: func(w *world) {
			proxies = []*Proxy{w.proxyTo(w.cluster.Members()[0].ClientURL)}
			w.config.Endpoints = []string{"http://" + proxies[0].Addr()}
		}, fault: func(w *world) {
			proxies[0].Hole(true)
			w.pause(4 * time.Second)
			proxies[0].Hole(false)
			w.pause(time.Second)
		}, want: noGaps},
		{name: "connections cut again and again", prepare: func(w *world) {
			proxies = []*Proxy{w.proxyTo(w.cluster.Members()[0].ClientURL)}
			w.config.Endpoints = []string{"http://" + proxies[0].Addr()}
		}, fault: func(w *world) {
			for range 8 {
				proxies[0].Switch("")
				w.pause(300 * time.Millisecond)
			}
		}, want: noGaps},
		{name: "link of a network namespace down", prepare: func(w *world) { link = w.isolate() }, fault: func(w *world) {
			w.run("ip", "link", "set", link, "down")
			w.pause(4 * time.Second)
			w.run("ip", "link", "set", link, "up")
			w.pause(time.Second)
		}, want: noGaps},
		{name: "certificates rotated", prepare: func(w *world) {
			var err error
			rotated, err = newIdentities(filepath.Join(w.dir, "tls"))
			w.must(err)
			p, err := StartProxy("127.0.0.1:0", hostOf(w.cluster.Members()[0].ClientURL), rotated.server())
			w.must(err)
			w.t.Cleanup(p.Close)
			proxies = []*Proxy{p}
			w.config.Endpoints = []string{"https://" + p.Addr()}
			w.config.Receiver["tls"] = map[string]any{
				"ca_file": rotated.caFile, "cert_file": rotated.certFile, "key_file": rotated.keyFile, "reload_interval": "1s",
			}
		}, fault: func(w *world) {
			for range 2 {
				w.must(rotated.rotate()) // from now on the server refuses the certificate before
				w.pause(1500 * time.Millisecond)
				proxies[0].Switch("")
				w.pause(time.Second)
			}
		}, want: func(w *world, v Verdict) {
			noGaps(w, v)
			assert.GreaterOrEqual(w.t, proxies[0].Accepted(), 3, "connections")
		}},
	}
}

// isolate puts the collector into a network namespace of its own, with one link to etcd, whose name it gives, and
// another one to the sink.
func (w *world) isolate() (link string) {
	if _, err := exec.LookPath("ip"); err != nil || os.Getuid() != 0 {
		notHere(w.t, "network namespaces need root and the program ip")
	}
	name := fmt.Sprintf("flt%d", os.Getpid())
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		notHere(w.t, "network namespaces do not work here: "+string(out))
	}
	w.t.Cleanup(func() { w.run("ip", "netns", "del", name) })
	// 198.18.0.0/15 is reserved for tests of networks (RFC 2544).
	for i, link := range []string{name + "e", name + "s"} {
		w.run("ip", "link", "add", link, "type", "veth", "peer", "name", "p"+link, "netns", name)
		w.t.Cleanup(func() { _ = exec.Command("ip", "link", "del", link).Run() })
		w.run("ip", "addr", "add", fmt.Sprintf("198.18.%d.1/24", i), "dev", link)
		w.run("ip", "link", "set", link, "up")
		w.run("ip", "-n", name, "addr", "add", fmt.Sprintf("198.18.%d.2/24", i), "dev", "p"+link)
		w.run("ip", "-n", name, "link", "set", "p"+link, "up")
	}
	p, err := StartProxy("198.18.0.1:0", hostOf(w.cluster.Members()[0].ClientURL), nil)
	w.must(err)
	w.t.Cleanup(p.Close)
	w.config.Endpoints = []string{"http://" + p.Addr()}

	w.backend.Close()
	w.backend.addr = "198.18.1.1:0"
	w.must(w.backend.Open())
	w.config.Sink = w.backend.Addr()
	w.collector.Prefix = []string{"ip", "netns", "exec", name}
	return name + "e"
}

func (w *world) run(command ...string) {
	w.t.Helper()
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil {
		w.must(fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, out))
	}
}

// server is the configuration of a server that takes only the newest client certificate.
func (i *identities) server() *tls.Config {
	return &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return i.current(), nil }}
}
