// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"sync"

	"go.opentelemetry.io/collector/pdata/pmetric"
)

// sink is the end of the pipeline. It only counts: its own cost goes to the
// account of the receiver.
type sink struct {
	identity string // the resource attribute that tells members apart
	proof    string // a metric that only a member's own answer can bring

	mu      sync.Mutex
	points  int
	answers map[string]int // by member
}

func (s *sink) consume(_ context.Context, metrics pmetric.Metrics) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.points += metrics.DataPointCount()
	for _, rm := range metrics.ResourceMetrics().All() {
		if member, ok := rm.Resource().Attributes().Get(s.identity); ok && has(rm, s.proof) {
			s.answers[member.Str()]++
		}
	}
	return nil
}

func has(rm pmetric.ResourceMetrics, name string) bool {
	for _, sm := range rm.ScopeMetrics().All() {
		for _, m := range sm.Metrics().All() {
			if m.Name() == name {
				return true
			}
		}
	}
	return false
}

func (s *sink) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.points, s.answers = 0, map[string]int{}
}

// counted gives what came since the reset: data points, and scrapes of the whole
// cluster. It is an error if one of the members answered less often than least.
func (s *sink) counted(members, least int) (points, scrapes float64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := 0
	for _, n := range s.answers {
		if n < least {
			err = fmt.Errorf("want %d answers of each member, got %v", least, s.answers)
		}
		sum += n
	}
	if len(s.answers) != members {
		err = fmt.Errorf("want answers of %d members, with %s, got %v", members, s.proof, s.answers)
	}
	return float64(s.points), float64(sum) / float64(members), err
}
