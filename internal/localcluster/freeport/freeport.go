// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package freeport finds ports of loopback for programs that must be told where to listen, and for who goes away and
// comes back at the same port. All others ask the system for a port of 0 and keep the listener.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports are taken from below the range from which systems pick the local port of an outgoing connection, and the port
// of who listens on 0 (from 32768 on Linux, 49152 elsewhere). A port from that range can be lost until the program
// listens, or while it is down, even to a client that dials it and is connected to itself.
const (
	first     = 15000
	blocks    = 17
	blockSize = 1000
)

// A process has a block of its own, in its network name space, so the port of a program that is down is not given away
// by another process. Within the block ports are tried in order, so this one does not give it away either before it has
// tried all others.
var block struct {
	sync.Mutex
	claim net.Listener // on the first port of the block, as long as the process lives; nil: none yet
	begin int
	tried int
}

// Next is a port of 127.0.0.1 that was free a moment ago, another one each time.
func Next() (int, error) {
	block.Lock()
	defer block.Unlock()
	if block.claim == nil {
		if err := claimBlock(); err != nil {
			return 0, err
		}
	}
	var err error
	for range blockSize {
		port := block.begin + 1 + block.tried%(blockSize-1)
		block.tried++
		var l net.Listener
		if l, err = listen(port); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("find a free port on 127.0.0.1 from %d on: %d in a row cannot be listened at, the last one: %w", block.begin, blockSize, err)
}

// Address is 127.0.0.1 and the next port.
func Address() (string, error) {
	port, err := Next()
	return address(port), err
}

func claimBlock() (err error) {
	from := rand.IntN(blocks)
	block.tried = rand.IntN(blockSize) // for programs that are started into the name space of another process's block
	for i := range blocks {
		block.begin = first + (from+i)%blocks*blockSize
		if block.claim, err = listen(block.begin); err == nil {
			return nil
		}
	}
	return fmt.Errorf("find ports on 127.0.0.1: none of the %d blocks from %d on can be claimed, the last one: %w", blocks, first, err)
}

var listen = func(port int) (net.Listener, error) { return net.Listen("tcp", address(port)) }

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
