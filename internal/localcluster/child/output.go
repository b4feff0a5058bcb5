// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package child

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// tailLines is how much of a child's output is kept for error messages: enough for the reason of a failed start
// of etcd or of a collector, which both write it last.
const tailLines = 30

// maxLine bounds the memory for one line (bytes); a longer one is passed on in pieces.
const maxLine = 64 << 10

// lineWriter passes whole lines on to its sinks. Used by one goroutine at a time.
type lineWriter struct {
	sinks []io.Writer
	rest  []byte
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.rest = append(w.rest, b...)
	for {
		end := bytes.IndexByte(w.rest, '\n') + 1
		if end == 0 && len(w.rest) > maxLine {
			end = maxLine
		}
		if end == 0 {
			return len(b), nil
		}
		w.emit(w.rest[:end])
		w.rest = w.rest[end:]
	}
}

// flush passes on a last line without an end.
func (w *lineWriter) flush() {
	if len(w.rest) > 0 {
		w.emit(append(w.rest, '\n'))
		w.rest = nil
	}
}

// emit ignores errors of a sink: a full disk below a log file must not block the child on its pipe.
func (w *lineWriter) emit(line []byte) {
	for _, s := range w.sinks {
		_, _ = s.Write(line)
	}
}

// tail keeps the last lines written to it. Every Write is one line.
type tail struct {
	mu    sync.Mutex
	lines []string
}

func (t *tail) Write(line []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == tailLines {
		t.lines = t.lines[1:]
	}
	t.lines = append(t.lines, string(line))
	return len(line), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "")
}
