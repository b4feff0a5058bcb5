// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestFaultsAreMendedFromTheseVersionsOn(t *testing.T) {
	for version, want := range map[string]struct{ deletes, progress bool }{
		"2.3.8": {}, "3.3.27": {}, "3.4.23": {}, "3.4.36": {}, "3.4.37": {false, true}, "3.4.45": {false, true},
		"3.5.7": {}, "3.5.8": {false, true}, "3.5.17": {false, true}, "3.5.18": {true, true}, "3.5.35": {true, true},
		"3.6.0": {true, true}, "3.6.0-rc.1": {true, true}, "3.7.3": {true, true}, "4.0.0": {true, true},
		"": {}, "3.6": {}, "unknown": {},
	} {
		assert.Equal(t, want.deletes, mendedDelete.in(version), "deletes at the compacted revision in %q", version)
		assert.Equal(t, want.progress, mendedProgress.in(version), "progress in %q", version)
	}
}
