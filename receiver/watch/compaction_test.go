// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestADeleteAtTheCompactedRevisionIsServedByTheseVersions(t *testing.T) {
	for version, want := range map[string]bool{
		"3.3.27": false, "3.4.23": false, "3.4.45": false, "3.5.17": false, "3.5.18": true, "3.5.35": true,
		"3.6.0": true, "3.6.0-rc.1": true, "3.7.3": true, "4.0.0": true, "2.3.8": false, "": false, "3.6": false, "unknown": false,
	} {
		assert.Equal(t, want, keepsDelete(version), "%q", version)
	}
}
