// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package throughput

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/otlpsink"
)

// sinkRole makes the test binary an OTLP backend.
const sinkRole = "THROUGHPUT_SINK"

// runSink is the backend in its own process. It writes its address, then answers
// commands, a line each, until its parent is gone:
//
//	count    how many records were taken
//	signed   how many of those since the last time tell an author
//	block    take nothing until release
func runSink(commands io.Reader, answers io.Writer) int {
	var records, signed atomic.Int64
	var gate sync.RWMutex
	sink, err := otlpsink.Start(otlpsink.Config{OnLogs: func(logs plog.Logs) error {
		gate.RLock()
		defer gate.RUnlock()
		records.Add(int64(logs.LogRecordCount()))
		signed.Add(authors(logs))
		return nil
	}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Fprintln(answers, sink.Addr())
	for lines := bufio.NewScanner(commands); lines.Scan(); {
		switch lines.Text() {
		case "signed":
			fmt.Fprintln(answers, signed.Swap(0))
			continue
		case "block":
			gate.Lock()
		case "release":
			gate.Unlock()
		}
		fmt.Fprintln(answers, records.Load())
	}
	return 0
}

// authors is how many records tell one.
func authors(logs plog.Logs) (n int64) {
	for _, rl := range logs.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				if _, ok := lr.Attributes().Get("etcd.author.source"); ok {
					n++
				}
			}
		}
	}
	return n
}

// sink is such a process, seen from its parent.
type sink struct {
	addr     string
	commands io.Writer
	answers  *bufio.Scanner
	before   int // records of contenders before
}

func startSink(tb testing.TB) *sink {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), sinkRole+"=1")
	cmd.Stderr = os.Stderr
	commands, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	answers, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = commands.Close() // ends it
		if err := cmd.Wait(); err != nil {
			tb.Error(err)
		}
	})
	s := &sink{commands: commands, answers: bufio.NewScanner(answers)}
	s.addr = s.line(tb)
	return s
}

func (s *sink) line(tb testing.TB) string {
	tb.Helper()
	if !s.answers.Scan() {
		tb.Fatalf("the sink has ended: %v", s.answers.Err())
	}
	return strings.TrimSpace(s.answers.Text())
}

// ask sends a command and gives its answer.
func (s *sink) ask(tb testing.TB, command string) int {
	tb.Helper()
	if _, err := fmt.Fprintln(s.commands, command); err != nil {
		tb.Fatal(err)
	}
	n, err := strconv.Atoi(s.line(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// tell sends a command and gives the number of records since reset.
func (s *sink) tell(tb testing.TB, command string) int { return s.ask(tb, command) - s.before }

func (s *sink) reset(tb testing.TB) { s.before += s.tell(tb, "count") }

// wait returns when so many records have come, and fails if there are more.
func (s *sink) wait(tb testing.TB, want int, patience time.Duration) {
	tb.Helper()
	got := 0
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got = s.tell(tb, "count"); got >= want {
			break
		}
	}
	if got != want {
		tb.Fatalf("%d records came within %s, want %d", got, patience, want)
	}
}
