// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

func TestWhatExceedsTheLimitOfASecondIsCountedAndTold(t *testing.T) {
	const second = time.Second
	put, lease := &unary[1], &unary[5]
	type asked struct {
		at     time.Duration
		of     *operation
		failed bool
	}
	for name, tc := range map[string]struct {
		most  int
		asked []asked
		want  []bool
	}{
		"no limit":                        {0, []asked{{0, put, false}, {0, put, false}, {0, put, true}}, []bool{true, true, true}},
		"each second has its own":         {1, []asked{{0, put, false}, {second / 2, put, false}, {second, put, false}}, []bool{true, false, true}},
		"failures have their own":         {1, []asked{{0, put, false}, {0, put, false}, {0, put, true}, {0, put, true}}, []bool{true, false, true, false}},
		"any operation counts":            {1, []asked{{0, put, false}, {0, nil, false}}, []bool{true, false}},
		"a clock that goes back":          {1, []asked{{second, put, false}, {0, put, false}, {0, put, false}}, []bool{true, true, false}},
		"what is switched off is no loss": {1, []asked{{0, lease, false}, {0, lease, false}, {0, put, false}}, []bool{true, true, true}},
	} {
		t.Run(name, func(t *testing.T) {
			lost := map[string]int64{}
			events := metadata.DefaultEventsConfig()
			events.EtcdRequestLease.Enabled = false
			o := &outbox{
				format: &logrecord.Format{Events: events}, resource: &resource.Builder{}, queue: make(chan plog.Logs, 1),
				lost: func(stage string, n int64) { lost[stage] += n }, open: map[*process]*openBatch{},
			}
			var got []bool
			var denied int64
			for _, a := range tc.asked {
				room := o.hasRoom(a.of, a.failed, time.Unix(1700000000, 0).Add(a.at), tc.most)
				if got = append(got, room); !room {
					denied++
				}
			}
			assert.Equal(t, tc.want, got)
			assert.Equal(t, denied, o.untold)
			assert.Equal(t, denied, lost[LostRate])
		})
	}
}
