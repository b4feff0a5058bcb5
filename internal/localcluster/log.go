// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"io"
	"sync"
)

// prefixLog joins the output of several members in one writer.
type prefixLog struct {
	mu sync.Mutex
	to io.Writer
}

// named gives a writer that puts name in front of each line. Every Write must be one line.
func (l *prefixLog) named(name string) io.Writer { return prefixWriter{log: l, prefix: name + " "} }

type prefixWriter struct {
	log    *prefixLog
	prefix string
}

func (w prefixWriter) Write(line []byte) (int, error) {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	if _, err := w.log.to.Write(append([]byte(w.prefix), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}
