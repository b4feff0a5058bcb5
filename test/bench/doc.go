// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package bench measures what one scrape of a real etcd cluster of three members
// costs the collector and etcd: with the etcd receiver, and with
// prometheusreceiver that reads the same members' /metrics.
//
// All code is in the tests. `make bench` runs it; longer, with a CPU profile
// whose samples carry the label "contender":
//
//	ETCD_BIN_DIR=... go test -run '^$' -bench . -cpuprofile cpu.out . -args -rounds 9
//	go tool pprof -tagfocus 'contender=^ours$' -top cpu.out
package bench
