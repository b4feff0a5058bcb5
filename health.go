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
)

// health joins what the roads report into the one status of the component: OK
// when all are, else a recoverable error. It reports transitions only, and to the
// host of every pipeline that shares the receiver: each shows a status of its own.
type health struct {
	mu     sync.Mutex
	hosts  []component.Host
	causes map[string]error // of the parts that are not well
	bad    bool             // what was reported last
}

func newHealth() *health { return &health{causes: map[string]error{}} }

// add tells a host from now on, and at once if something is not well.
func (h *health) add(host component.Host) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hosts = append(h.hosts, host)
	if h.bad {
		componentstatus.ReportStatus(host, h.eventLocked())
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
	if bad := len(h.causes) > 0; bad != h.bad {
		h.bad = bad
		for _, host := range h.hosts {
			componentstatus.ReportStatus(host, h.eventLocked())
		}
	}
}

func (h *health) eventLocked() *componentstatus.Event {
	if !h.bad {
		return componentstatus.NewEvent(componentstatus.StatusOK)
	}
	var errs []error
	for _, part := range slices.Sorted(maps.Keys(h.causes)) {
		errs = append(errs, fmt.Errorf("%s: %w", part, h.causes[part]))
	}
	return componentstatus.NewRecoverableErrorEvent(errors.Join(errs...))
}
