// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package child runs a program as a child of this process that cannot outlive it.
//
// A Process is started once and ends once: by itself, by Kill or by Stop. Done is closed after the program has
// ended and its output is complete; from then on Err and Tail do not change. On Linux the kernel kills the child
// when this process dies, however it dies; elsewhere only an orderly end of this process ends the child.
//
// A child is in a process group of its own, so that Ctrl-C in a terminal reaches this process alone and the
// children can be ended in the right order.
//
// All methods are safe for concurrent use.
package child
