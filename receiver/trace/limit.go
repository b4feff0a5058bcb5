// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
)

// limit is what Settings.MaxRecords needs.
type limit struct {
	// Those that failed have a window of their own: a flood of others hides no denied
	// request.
	succeeded, failed window
	refused           window          // likewise: who connects may be anybody
	on                map[family]bool // whose records the user did not switch off
}

// window counts what came in one second.
type window struct {
	second int64
	count  int
}

func (w *window) allows(now time.Time, most int) bool {
	if s := now.Unix(); s != w.second {
		*w = window{second: s}
	}
	w.count++
	return w.count <= most
}

// hasRoom tells whether one more record of a request may be added, and counts it
// as lost if not. o is nil if the operation is not known.
func (o *outbox) hasRoom(of *operation, failed bool, now time.Time, most int) bool {
	w := &o.limit.succeeded
	if failed {
		w = &o.limit.failed
	}
	f := familyOther
	if of != nil {
		f = of.family
	}
	return !o.switchedOn(f) || o.within(w, now, most)
}

// hasRoomForRefused is that of one more connection that was refused.
func (o *outbox) hasRoomForRefused(now time.Time, most int) bool {
	return !o.format.Events.EtcdConnectionRefused.Enabled || o.within(&o.limit.refused, now, most)
}

func (o *outbox) within(w *window, now time.Time, most int) bool {
	if most == 0 || w.allows(now, most) {
		return true
	}
	o.untold++
	o.lost(LostRate, 1)
	return false
}

// switchedOn tells whether requests of a family become records: those that do not
// must not use up what there is room for, or count as lost.
func (o *outbox) switchedOn(f family) bool {
	on, known := o.limit.on[f]
	if !known {
		on = o.format.NewBatch(pcommon.NewResource(), time.Time{}, 1).Request(&logrecord.Request{Family: string(f)})
		if o.limit.on == nil {
			o.limit.on = map[family]bool{}
		}
		o.limit.on[f] = on
	}
	return on
}
