// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
)

// networkFaults break what lies between collector and members.
func networkFaults() []scenario {
	var rotated *identities
	var own namespace
	interposed := func(w *world) { w.interpose(nil) }
	secured := func(w *world) {
		var err error
		rotated, err = newIdentities(filepath.Join(w.dir, "tls"))
		w.must(err)
		w.interpose(rotated.server())
		w.config.Receiver["tls"] = map[string]any{
			"ca_file": rotated.caFile, "cert_file": rotated.certFile, "key_file": rotated.keyFile, "reload_interval": "1s",
		}
	}
	return []scenario{
		{name: "dead member first", prepare: func(w *world) {
			w.config.Endpoints = append([]string{"http://127.0.0.1:1"}, w.config.Endpoints...)
		}, fault: func(w *world) {
			m := w.cluster.Members()[0]
			w.must(m.Kill())
			w.pause(500 * time.Millisecond)
			w.must(m.Restart(w.context()))
			w.pause(time.Second)
		}, want: noGaps},
		{name: "partition from one member", size: 3, prepare: interposed, fault: func(w *world) {
			others := func() int { return w.proxies[1].Accepted() + w.proxies[2].Accepted() }
			before := others()
			first := w.proxies[0] // of the endpoints
			w.disturb(4*time.Second, func() { first.Hole(true) }, func() {
				w.await("a connection to another member", func() bool { return others() > before })
				first.Hole(false)
			})
			w.pause(time.Second)
		}, want: noGaps},
		{name: "partition from all members", prepare: interposed, fault: func(w *world) {
			w.proxies[0].Hole(true)
			time.Sleep(time.Second) // too short to be noticed
			w.proxies[0].Hole(false)
			w.pause(500 * time.Millisecond)
			w.disturb(4*time.Second, func() { w.proxies[0].Hole(true) }, func() { w.proxies[0].Hole(false) })
			w.pause(time.Second)
		}, want: noGaps},
		{name: "connections cut again and again", prepare: interposed, fault: func(w *world) {
			w.cut(8, 300*time.Millisecond, 3)
			assert.Positive(w.t, w.collector.Log().Count(watchEnded), "the watch never ended")
		}, want: noGaps},
		{name: "link of a network namespace down", prepare: func(w *world) { own = w.isolate() }, fault: func(w *world) {
			w.disturb(4*time.Second, func() { w.run("ip", "link", "set", own.link(), "down") }, func() { w.run("ip", "link", "set", own.link(), "up") })
			w.pause(time.Second)
		}, want: noGaps},
		{name: "certificates rotated", prepare: secured, fault: func(w *world) {
			for range 2 {
				w.must(rotated.rotate()) // from now on the server refuses the certificate before
				w.pause(1500 * time.Millisecond)
				w.reconnect()
				w.pause(time.Second)
			}
		}, want: noGaps},
		{name: "authority of the certificates replaced", prepare: secured, fault: func(w *world) {
			old := rotated.authority
			w.must(rotated.newAuthority())
			w.must(rotated.trust(old, rotated.authority))
			w.must(rotated.rotate())
			w.pause(1500 * time.Millisecond)
			w.reconnect()
			w.must(rotated.trust(rotated.authority))
			w.pause(500 * time.Millisecond)
			w.reconnect()
			w.must(rotated.rotate())
			w.pause(1500 * time.Millisecond)
			w.reconnect()
		}, want: noGaps},
		{name: "host name moves to another address", prepare: func(w *world) {
			own = w.isolate()
			own.name(w)
		}, fault: func(w *world) {
			w.disturb(2*time.Second, func() { own.removeOld(w) }, func() { own.nameIs(w, newAddress) })
			w.await("a connection to the new address", func() bool { return w.proxies[1].Accepted() > 0 })
			w.pause(time.Second)
		}, want: noGaps},
	}
}

// disturb breaks something for about that long, and until the collector has told that its watch ended: a fault that it
// does not notice shows nothing.
func (w *world) disturb(about time.Duration, breakIt, repair func()) {
	w.t.Helper()
	before := w.collector.Log().Count(watchEnded)
	breakIt()
	w.pause(about)
	w.await("an end of the watch", func() bool { return w.collector.Log().Count(watchEnded) > before })
	repair()
}

// reconnect cuts what goes through the first proxy, and waits until the collector watches through it again.
func (w *world) reconnect() {
	w.t.Helper()
	before := w.collector.Log().Count(watching)
	w.proxies[0].Switch("")
	w.await("a watch after the connections were cut", func() bool { return w.collector.Log().Count(watching) > before })
}

// cut cuts what goes through the first proxy at least so many times, and until so many connections have come after it:
// fewer than cuts, for some are cut before they have come about.
func (w *world) cut(times int, every time.Duration, come int) {
	w.t.Helper()
	before, n := w.proxies[0].Accepted(), 0
	w.await(fmt.Sprintf("%d connections after those that were cut", come), func() bool {
		w.proxies[0].Switch("")
		w.pause(every)
		n++
		return n >= times && w.proxies[0].Accepted()-before >= come
	})
}

// interpose puts a proxy between the collector and each member; with a configuration the collector speaks TLS to it.
func (w *world) interpose(config *tls.Config) {
	scheme := "http://"
	if config != nil {
		scheme = "https://"
	}
	w.config.Endpoints = nil
	for _, m := range w.cluster.Members() {
		w.config.Endpoints = append(w.config.Endpoints, scheme+w.proxy("127.0.0.1:0", m, config).Addr())
	}
}

// proxy starts one more proxy in front of a member.
func (w *world) proxy(addr string, m *localcluster.Member, config *tls.Config) *Proxy {
	p, err := StartProxy(addr, hostOf(m.ClientURL), config)
	w.must(err)
	w.t.Cleanup(p.Close)
	w.proxies = append(w.proxies, p)
	return p
}

func hostOf(url string) string { return url[strings.Index(url, "://")+3:] }
