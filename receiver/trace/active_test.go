// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestActiveIsTheTimeOfRequestsOverTheTimeThatWentBy(t *testing.T) {
	start := time.Unix(1700000000, 0)
	a := active{since: start}
	for _, step := range []struct {
		at   time.Duration
		took map[uint8]time.Duration
		want map[uint8]float64
	}{
		{10 * time.Second, map[uint8]time.Duration{}, map[uint8]float64{}},
		{20 * time.Second, map[uint8]time.Duration{1: 5 * time.Second}, map[uint8]float64{1: 0.5}},
		{22 * time.Second, map[uint8]time.Duration{1: 5 * time.Second, 2: time.Second}, map[uint8]float64{1: 0, 2: 0.5}},
		// It began long before, and is told now.
		{32 * time.Second, map[uint8]time.Duration{1: 65 * time.Second, 2: time.Second}, map[uint8]float64{1: 6, 2: 0}},
	} {
		assert.Equal(t, step.want, a.mean(start.Add(step.at), step.took), step.at)
	}
}
