// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"
	"net/netip"

	"github.com/cilium/ebpf"
)

// Without BTF the programs read no socket: they know etcd's by what user space has
// found, and what they tell has no Network, and of one that etcd has accepted no PID.

// Ends are those of a connection, of either family.
type Ends struct{ Local, Remote netip.AddrPort }

// Found is a connection whose beginning the programs have not told.
type Found struct {
	Socket uint64 // as they shall tell it
	PID    int
	Role   Role
}

// sockets is what the programs know.
type sockets struct {
	ports map[uint16]bool
	found map[Ends]Found
}

// NeedsSockets tells whether KnowSockets stands in for Look and Forget.
func (n *Network) NeedsSockets() bool { return n.without != nil }

// Lacks are the parts that this kernel cannot give, each with the reason.
func (n *Network) Lacks() []string {
	if n.without == nil {
		return nil
	}
	return []string{"bytes, round trips and what was sent again: " + n.without.Error()}
}

// The events of tracefs, and which fields of them are read.
var (
	stateChanged  = tracepoint{"sock", "inet_sock_set_state", namedProgStateChanged}
	sentAgain     = tracepoint{"tcp", "tcp_retransmit_skb", namedProgSegmentSentAgain}
	answeredAgain = tracepoint{"tcp", "tcp_retransmit_synack", namedProgConnectionAnsweredAgain}
	resetReceived = tracepoint{"tcp", "tcp_receive_reset", namedProgResetReceived}
)

// socketFields sets where an event has the socket and its ends.
func (t tracepoint) socketFields(to *namedEventFields) error {
	return t.fields(map[string]*uint32{
		"skaddr": &to.Socket, "sport": &to.LocalPort, "dport": &to.RemotePort, "saddr_v6": &to.Local, "daddr_v6": &to.Remote,
	})
}

// byName follows connections by the events of tracefs.
func (n *Network) byName(p *Programs) error {
	spec, shared, err := p.namedSpec()
	if err != nil {
		return err
	}
	constants := map[string]any{}
	for variable, event := range map[string]tracepoint{
		namedVarStateAt: stateChanged, namedVarAgainAt: sentAgain, namedVarAnswerAt: answeredAgain, namedVarResetAt: resetReceived,
	} {
		var at namedEventFields
		if err := event.socketFields(&at); err != nil {
			return err
		}
		constants[variable] = at
	}
	var before, now, protocol uint32
	if err := stateChanged.fields(map[string]*uint32{"oldstate": &before, "newstate": &now, "protocol": &protocol}); err != nil {
		return err
	}
	text, err := stateChanged.format()
	if err != nil {
		return err
	}
	_, size, err := text.field("protocol")
	if err != nil {
		return err
	}
	constants[namedVarStateBeforeAt], constants[namedVarStateNowAt], constants[namedVarProtocolAt] = before, now, protocol
	constants[namedVarProtocolMask] = uint32(1)<<(8*size) - 1 // a byte before Linux 5.6, two since
	if err := setAll(spec, constants); err != nil {
		return err
	}
	if n.own, err = withOwn(spec, shared, namedMapPorts, namedMapFoundConnections, namedMapFollowed, namedMapHalfOpen); err != nil {
		return err
	}
	n.ports, n.found = shared[namedMapPorts], shared[namedMapFoundConnections]
	n.known = sockets{map[uint16]bool{}, map[Ends]Found{}}
	n.links, err = p.attachByName(spec, shared, []tracepoint{stateChanged, sentAgain, answeredAgain, resetReceived})
	return err
}

// KnowSockets tells the programs at which ports the processes listen, and which
// connections were found. All that was known before and is not among them is
// forgotten. What fails, as where there are too many, is tried again the next time.
func (n *Network) KnowSockets(ports map[uint16]bool, found map[Ends]Found) error {
	return errors.Join(
		renew(n.known.ports, ports, func(port uint16, _ bool) error { return n.ports.Put(port, uint8(1)) },
			func(port uint16) error { return n.ports.Delete(port) }),
		renew(n.known.found, found, func(ends Ends, f Found) error {
			return n.found.Put(ends.key(), namedFound{Socket: f.Socket, Tgid: n.pids.host(f.PID), Role: uint32(f.Role)})
		}, func(ends Ends) error { return n.found.Delete(ends.key()) }))
}

// renew makes what the programs know what they shall: known is what they do. It ends at
// the first that cannot be put, as it is with the others then.
func renew[K, V comparable](known, wanted map[K]V, put func(K, V) error, remove func(K) error) error {
	var all error
	for k := range known {
		if _, ok := wanted[k]; ok {
			continue
		}
		if err := remove(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			all = errors.Join(all, err)
			continue
		}
		delete(known, k)
	}
	for k, v := range wanted {
		if was, ok := known[k]; ok && was == v {
			continue
		}
		if err := put(k, v); err != nil {
			return errors.Join(all, err)
		}
		known[k] = v
	}
	return all
}

// key is how the programs have it: addresses of IPv4 are mapped.
func (e Ends) key() namedEnds {
	return namedEnds{Local: e.Local.Addr().As16(), Remote: e.Remote.Addr().As16(), LocalPort: e.Local.Port(), RemotePort: e.Remote.Port()}
}
