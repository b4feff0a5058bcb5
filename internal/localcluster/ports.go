// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
)

// Ports are taken from below the range from which systems pick the local port of an outgoing connection (from 32768
// on Linux, 49152 elsewhere). A port from that range could be lost while a member is down, even to a client that dials
// the dead member and is connected to itself; then the member could not be restarted.
const (
	firstPort = 15000
	lastPort  = 32000
)

// tried is how many ports this process has tried. They are tried in order, from a place that is another one in each
// process: so the port of a member that is down is not given to another cluster of this process, nor, but for a rare
// chance, to one of another.
var (
	tried atomic.Int64
	begin = rand.Int64N(lastPort - firstPort)
)

// freePorts gives n different loopback ports that were free a moment ago.
func freePorts(n int) ([]int, error) {
	const tries = 1000 // of 17000 ports; a machine where all of these are taken has another problem
	var ports []int
	for range tries {
		if len(ports) == n {
			return ports, nil
		}
		port := firstPort + int((begin+tried.Add(1))%(lastPort-firstPort))
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		// Held until all are found, so that no port is given twice.
		defer func() { _ = l.Close() }()
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("find %d free ports on 127.0.0.1 between %d and %d: only %d are free", n, firstPort, lastPort, len(ports))
}
