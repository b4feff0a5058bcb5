// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"net/netip"
	"syscall"
	"time"
)

// What a record of KindConnection tells of it: Record.Operation.
const (
	ConnectionOpened  = uint8(networkConnectionEventCONNECTION_OPENED)
	ConnectionClosed  = uint8(networkConnectionEventCONNECTION_CLOSED)  // also if it was never established
	ConnectionStalled = uint8(networkConnectionEventCONNECTION_STALLED) // what was sent is not answered
	ConnectionFound   = uint8(networkConnectionEventCONNECTION_FOUND)   // Network.Look

	// ConnectionHalfOpen is one that etcd's kernel has answered, and answers again
	// because nothing came back. It may be told twice, and has ends but no socket.
	ConnectionHalfOpen = uint8(networkConnectionEventCONNECTION_HALF_OPEN)
)

// Stalled is at which number of Connection.Unanswered one is told as
// ConnectionStalled.
const Stalled = 2

// Role is whose end of a connection it is.
type Role uint8

// The roles.
const (
	RoleAccepted = Role(networkConnectionRoleROLE_ACCEPTED) // etcd's, which listened
	RoleDialed   = Role(networkConnectionRoleROLE_DIALED)   // etcd's, which dialled
	RoleCaller   = Role(networkConnectionRoleROLE_CALLER)   // another program's of this host, which dialled a port of etcd
)

// Connection is a TCP connection as it was at a time.
type Connection struct {
	Role          Role
	Socket        uint64         // the kernel's: unique while it is open
	Network       uint32         // name space
	Local, Remote netip.AddrPort // the local port is 0 at the end of one that was dialled
	Established   bool
	Received      uint64        // bytes of data
	Sent          uint64        // likewise, what was sent again counted once
	Retransmitted uint32        // segments
	Unanswered    uint32        // times in a row that the last of them was sent again
	RTT           time.Duration // smoothed, 0 if it is not known
	Error         syscall.Errno // that ended it, 0 if none did
	Process       []byte        // name of the process that dialled
}

func decodeConnection(c *networkConnection, _ []byte, r *Record) {
	*r = Record{
		Kind: Kind(c.H.Kind), Operation: c.H.Operation, PID: c.H.Tgid, Time: c.H.Ktime,
		Number: Unknown, Count: Unknown, Answer: Unknown, ValueLen: Unknown, KeyLen: -1, EndLen: -1,
		Connection: &Connection{
			Role: Role(c.Role), Socket: c.Socket, Network: c.Network, Established: c.Established != 0,
			Local: address(c.Local[:], c.AddressLen, c.LocalPort), Remote: address(c.Remote[:], c.AddressLen, c.RemotePort),
			Received: c.Received, Sent: c.Sent, Retransmitted: c.Retransmitted, Unanswered: c.Unanswered,
			RTT: time.Duration(c.RttUs) * time.Microsecond, Error: syscall.Errno(c.Error), Process: untilZero(c.Name[:]),
		},
	}
}

func address(raw []byte, length uint8, port uint16) netip.AddrPort {
	addr, _ := netip.AddrFromSlice(cut(raw, int(length)))
	return netip.AddrPortFrom(addr.Unmap(), port)
}
