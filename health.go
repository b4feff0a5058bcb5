// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package etcdreceiver

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"

	"github.com/etcdreceiver/etcdreceiver/receiver/watch"
)

// health joins what the roads report into the one status of the component: OK
// when all are, a permanent error when a stream has stopped, else a recoverable
// error. It reports transitions only, and to the
// host of every pipeline that shares the receiver: each shows a status of its own.
type health struct {
	mu     sync.Mutex
	hosts  []component.Host
	causes map[string]error       // of the parts that are not well
	told   componentstatus.Status // what was reported last
}

func newHealth() *health {
	return &health{causes: map[string]error{}, told: componentstatus.StatusOK}
}

// add tells a host from now on, and at once if something is not well.
func (h *health) add(host component.Host) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hosts = append(h.hosts, host)
	if ev := h.eventLocked(); ev.Status() != componentstatus.StatusOK {
		componentstatus.ReportStatus(host, ev)
	}
}

// report takes in the state of one part: nil if it is well.
func (h *health) report(part string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		delete(h.causes, part)
	} else {
		h.causes[part] = err
	}
	if ev := h.eventLocked(); ev.Status() != h.told {
		h.told = ev.Status()
		for _, host := range h.hosts {
			componentstatus.ReportStatus(host, ev)
		}
	}
}

func (h *health) eventLocked() *componentstatus.Event {
	if len(h.causes) == 0 {
		return componentstatus.NewEvent(componentstatus.StatusOK)
	}
	var errs []error
	for _, part := range slices.Sorted(maps.Keys(h.causes)) {
		errs = append(errs, fmt.Errorf("%s: %w", part, h.causes[part]))
	}
	err := errors.Join(errs...)
	if errors.Is(err, watch.ErrStopped) {
		return componentstatus.NewPermanentErrorEvent(err)
	}
	return componentstatus.NewRecoverableErrorEvent(err)
}
