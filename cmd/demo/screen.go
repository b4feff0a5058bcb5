// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// screen prints lines whole, whoever prints.
type screen struct {
	mu sync.Mutex
	to io.Writer
}

// print ignores errors: a closed pipe behind us is no reason to leave children behind.
func (s *screen) print(lines ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = io.WriteString(s.to, strings.Join(lines, "\n")+"\n")
}

// announce prints what the demo itself does, told apart from what the receiver reports.
func (s *screen) announce(format string, args ...any) {
	s.print(fmt.Sprintf(">> %s  %s", time.Now().Format(clock), fmt.Sprintf(format, args...)))
}
