// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package freeport finds ports of loopback for programs that must be told where to listen. Who can listen by itself
// asks the system for a port of 0 and keeps the listener.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
)

// Ports are taken from below the range from which systems pick the local port of an outgoing connection, and the port
// of who listens on 0 (from 32768 on Linux, 49152 elsewhere). A port from that range can be lost until the program
// listens, or while it is down, even to a client that dials it and is connected to itself.
const (
	first = 15000
	last  = 32000
)

// tried is how many ports this process has tried. They are tried in order, from a place that is another one in each
// process: so the port of a program that is down is not given to another one by this process, nor, but for a rare
// chance, by another.
var (
	tried atomic.Int64
	begin = rand.Int64N(last - first)
)

// Next is a port of 127.0.0.1 that was free a moment ago, another one each time.
func Next() (int, error) {
	const tries = 1000 // of 17000 ports; a machine where all of these are taken has another problem
	for range tries {
		port := first + int((begin+tried.Add(1))%(last-first))
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("find a free port on 127.0.0.1 between %d and %d: %d in a row are taken", first, last, tries)
}

// Address is 127.0.0.1 and the next port.
func Address() (string, error) {
	port, err := Next()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}
