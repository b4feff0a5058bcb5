// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync"
)

// Proxy is a TCP address in front of a server: it can swallow everything, cut all connections, and change the server.
// With a TLS configuration it speaks TLS to clients and plain text to the server.
type Proxy struct {
	listener net.Listener
	running  sync.WaitGroup

	mu       sync.Mutex
	backend  string
	hole     bool
	changed  chan struct{} // closed when hole changes
	conns    map[net.Conn]bool
	accepted int
	closed   bool
}

// StartProxy listens on an address, with a port of 0 on a free one. Close it.
func StartProxy(addr, backend string, config *tls.Config) (*Proxy, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("start the proxy: %w", err)
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	p := &Proxy{listener: l, backend: backend, changed: make(chan struct{}), conns: map[net.Conn]bool{}}
	p.running.Go(p.accept) // ends with the listener
	return p, nil
}

// Addr is host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Accepted is how many connections there were.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Hole makes the proxy pass nothing on, and take new connections without an answer: a network that drops packets.
// What was swallowed comes out when it is switched off.
func (p *Proxy) Hole(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hole = on
	close(p.changed)
	p.changed = make(chan struct{})
}

// Switch cuts all connections, and sends new ones to another server unless it is empty.
func (p *Proxy) Switch(backend string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if backend != "" {
		p.backend = backend
	}
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

// Close ends all.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Hole(false)
	p.Switch("")
	p.running.Wait()
}

func (p *Proxy) accept() {
	for {
		front, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.accepted++
		p.mu.Unlock()
		p.running.Go(func() { p.serve(front) }) // ends with either connection
	}
}

func (p *Proxy) serve(front net.Conn) {
	defer func() { _ = front.Close() }()
	if !p.keep(front) {
		return
	}
	p.pass()
	p.mu.Lock()
	backend := p.backend
	p.mu.Unlock()
	back, err := net.Dial("tcp", backend)
	if err != nil {
		return
	}
	defer func() { _ = back.Close() }()
	if !p.keep(back) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.copy(front, back) })
	both.Go(func() { p.copy(back, front) })
	both.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, front)
	delete(p.conns, back)
}

// keep notes a connection, so that Switch can cut it.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) copy(to, from net.Conn) {
	defer func() { _ = to.Close(); _ = from.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		p.pass()
		if _, werr := to.Write(buffer[:n]); err != nil || werr != nil {
			return
		}
	}
}

// pass waits as long as the proxy is a hole.
func (p *Proxy) pass() {
	for {
		p.mu.Lock()
		hole, changed := p.hole, p.changed
		p.mu.Unlock()
		if !hole {
			return
		}
		<-changed
	}
}
