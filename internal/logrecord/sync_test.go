// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTheSentenceOfASyncSaysWhichFileAndWhoElseWrote(t *testing.T) {
	for name, want := range map[string]string{
		"sync wal":     "WAL sync of 0000000000000001-0000000000000abc.wal took 212ms (98 KiB); dd[4711] wrote 120 MiB, kworker/u8:2[33] wrote 64 KiB meanwhile",
		"sync backend": "backend sync of db took 1.23s (1.5 MiB)",
		"sync other":   "sync of 0.tmp took 212ms",
	} {
		body := sample(samples[name]).ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Body().Str()
		assert.Equal(t, want, body, name)
	}
}

func TestBytesAreSaidWithTwoOrThreeDigits(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 KiB", 4096: "4.0 KiB", 1 << 20: "1.0 MiB", 12 << 20: "12 MiB", 5 << 40: "5.0 TiB", 5000 << 40: "5000 TiB"} {
		assert.Equal(t, want, bytesText(n))
	}
}
