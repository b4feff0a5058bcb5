// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"
	"fmt"
	"io"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// Network is the programs that follow the TCP connections of the processes that
// passed their self-check. What they tell is in the ring, as KindConnection.
type Network struct {
	pids  *pids
	links []link.Link
	own   []*ebpf.Map

	// With BTF:
	listeners *ebpf.Map
	open      *link.Iter
	record    Record // of Look

	// By name:
	ports, found *ebpf.Map // of KnowSockets
	known        sockets
	without      error // why it is by name
}

// FollowNetwork attaches them. Connections that were there before, and where a
// process listens, are known after Look, or where NeedsSockets after KnowSockets.
func (p *Programs) FollowNetwork() (_ *Network, err error) {
	n := &Network{pids: p.pids}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	err = n.byBTF(p)
	if why := p.whyNotBTF(err); why != nil {
		n.without = why
		if err = errors.Join(n.Close(), n.byName(p)); err != nil {
			err = fmt.Errorf("%w, and by tracefs: %w", why, err)
		}
	}
	return n, err
}

func (n *Network) byBTF(p *Programs) error {
	if p.perf {
		return errNoRing
	}
	spec, err := loadNetwork()
	if err != nil {
		return err
	}
	maps := p.shared(spec)
	if n.own, err = withOwn(spec, maps, networkMapListeners, networkMapFollowed); err != nil {
		return err
	}
	n.listeners = maps[networkMapListeners]
	if n.links, err = p.attachTracepoints(spec, maps, []string{networkProgInetSockSetState, networkProgTcpRetransmitSkb, networkProgTcpRetransmitSynack}); err != nil {
		return err
	}
	loaded, err := p.load(spec, maps, func(name string) bool { return name == networkProgOpenConnections })
	if err != nil {
		return err
	}
	defer loaded.Close() // the link keeps its program
	n.open, err = link.AttachIter(link.IterOptions{Program: loaded.Programs[networkProgOpenConnections]})
	return err
}

// Look tells of each connection that is open now, as it is now, and makes the
// programs know where the processes listen. It goes through the open files of the
// host: about 60 ns for each. record is used again for the next one.
func (n *Network) Look(each func(*Record)) error {
	list, err := n.open.Open()
	if err != nil {
		return err
	}
	defer func() { _ = list.Close() }()
	raw, err := io.ReadAll(list)
	if err != nil {
		return err
	}
	const size = int(unsafe.Sizeof(networkConnection{}))
	for ; len(raw) >= size; raw = raw[size:] {
		if err := Decode(raw[:size], &n.record); err != nil {
			return err
		}
		n.record.PID = n.pids.here(n.record.PID)
		each(&n.record)
	}
	return nil
}

// Forget makes the programs forget where a process listened.
func (n *Network) Forget(pid int) error {
	var gone []networkEndpoint
	var at networkEndpoint
	var tgid uint32
	of := n.pids.host(pid)
	all := n.listeners.Iterate()
	for all.Next(&at, &tgid) {
		if tgid == of {
			gone = append(gone, at)
		}
	}
	err := all.Err()
	for _, at := range gone {
		err = errors.Join(err, n.listeners.Delete(&at))
	}
	return err
}

// Close takes the programs out of the kernel.
func (n *Network) Close() error {
	err := closeAll(n.links)
	if n.open != nil {
		err = errors.Join(err, n.open.Close())
	}
	for _, m := range n.own {
		err = errors.Join(err, m.Close())
	}
	n.links, n.open, n.own = nil, nil, nil
	return err
}
