// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package faults shows that the distribution loses, repeats and reorders nothing while things break around it, or says
// what it lost.
//
// A run has four parts. A load generator (load.go) writes to a real cluster and notes what it knows to be written. An
// independent reader (reference.go) follows the same history. The distribution (collector.go) runs as a process of its
// own and exports to a sink (backend.go), which keeps what arrives and in which order. Meanwhile a scenario
// (*_test.go) breaks something. The end of a run is a marker, a key that is written last: nobody guesses by time.
//
// Then the verifier judges. BuildTruth (truth.go) joins what was written and what was read to the one history that
// both confirm, and Verify (verifier.go and check_*.go) holds the records against it: etcd's own watch properties
// (github.com/etcd-io/etcd, tests/robustness/validate), and what this receiver promises beyond. If the truth is not
// sound the verdict is "not judged", never "passed". Each configured prefix is a stream that is judged for itself
// (streams.go). Truth and verifier do no I/O and know no time.
package faults
