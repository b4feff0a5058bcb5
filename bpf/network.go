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
	pids                *pids
	listeners, followed *ebpf.Map
	links               []link.Link
	open                *link.Iter
	record              Record // of Look
}

// FollowNetwork attaches them. Connections that were there before, and where a
// process listens, are known after Look.
func (p *Programs) FollowNetwork() (_ *Network, err error) {
	n := &Network{pids: p.pids}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	spec, err := loadNetwork()
	if err != nil {
		return nil, err
	}
	maps, err := p.shared(spec)
	if err != nil {
		return nil, err
	}
	for name, to := range map[string]**ebpf.Map{networkMapListeners: &n.listeners, networkMapFollowed: &n.followed} {
		m, err := ebpf.NewMap(spec.Maps[name])
		if err != nil {
			return nil, fmt.Errorf("map %s: %w", name, err)
		}
		*to, maps[name] = m, m
	}
	if n.links, err = p.attachTracepoints(spec, maps, []string{networkProgInetSockSetState, networkProgTcpRetransmitSkb, networkProgTcpRetransmitSynack}); err != nil {
		return nil, err
	}
	only := spec.Copy()
	only.Programs = map[string]*ebpf.ProgramSpec{networkProgOpenConnections: spec.Programs[networkProgOpenConnections]}
	loaded, err := ebpf.NewCollectionWithOptions(only, ebpf.CollectionOptions{MapReplacements: maps, Cache: p.types})
	if err != nil {
		return nil, err
	}
	defer loaded.Close() // the link keeps its program
	n.open, err = link.AttachIter(link.IterOptions{Program: loaded.Programs[networkProgOpenConnections]})
	return n, err
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
	return errors.Join(err, n.listeners.Close(), n.followed.Close()) // of a nil map: nothing
}
