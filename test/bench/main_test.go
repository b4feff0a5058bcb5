// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"flag"
	"os"
	"testing"
	"time"
)

var (
	rounds   = flag.Int("rounds", 5, "how often each contender is measured")
	scrapes  = flag.Int("scrapes", 25, "scrapes in one measurement")
	interval = flag.Duration("interval", 200*time.Millisecond, "time between two scrapes")
)

// A measurement has a length of its own. Without a fixed count the testing
// package would repeat the sub-benchmarks, which only report, up to 1e9 times.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.benchtime", "1x"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
