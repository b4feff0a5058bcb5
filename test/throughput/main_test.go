// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package throughput

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var (
	rounds    = flag.Int("rounds", 5, "how often each contender is measured; catching up and existing keys take half as many")
	revisions = flag.Int("revisions", 2000, "transactions of 100 puts in the backlog of ToLogs and ToOTLP")
	large     = flag.Bool("large", false, "let CatchUp read 300,000 revisions too, which takes one watcher four minutes")
	block     = flag.Duration("block", 20*time.Second, "how long the pipeline of Blocked blocks")
	keys      = flag.Int("keys", 100_000, "existing keys of Snapshot; it reads a tenth of them too, to compare")
	changes   = flag.Int("changes", 500_000, "changes of LongRun")
	naiveKeys = flag.Int("naive-keys", 100_000, "above this, Snapshot leaves the pages without an end out")
)

// tables are printed at the end: the testing package cuts a benchmark's own log
// after ten lines.
var tables strings.Builder

func TestMain(m *testing.M) {
	if os.Getenv(sinkRole) != "" {
		os.Exit(runSink(os.Stdin, os.Stdout))
	}
	flag.Parse()
	// A measurement has a length of its own.
	if err := flag.Set("test.benchtime", "1x"); err != nil {
		panic(err)
	}
	code := m.Run()
	fmt.Print(tables.String())
	os.Exit(code)
}
