// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

// Sync is a file of etcd that was synced to disk.
type Sync struct {
	Type     metadata.AttributeEtcdFileType
	Name     string // of the file
	Start    time.Time
	Duration time.Duration
	Size     int64 // written since the last one; Absent: not known
	ThreadID uint32
	Writers  []Writer // others
}

// Writer is a process that wrote to a disk.
type Writer struct {
	Process
	Size int64
}

// SlowSync appends: a sync took long. It tells false if the user switched it off.
func (b *Batch) SlowSync(q *Sync) bool {
	if !b.format.Events.EtcdDiskSync.Enabled {
		return false
	}
	lr := b.add("etcd.disk.sync", plog.SeverityNumberWarn, 6)
	lr.SetTimestamp(pcommon.NewTimestampFromTime(q.Start))
	attrs := lr.Attributes()
	attrs.PutStr("etcd.file.type", q.Type.String())
	putText(attrs, "file.name", printable([]byte(q.Name)))
	attrs.PutDouble("etcd.sync.duration", q.Duration.Seconds())
	if q.Size >= 0 {
		attrs.PutInt("etcd.sync.size", q.Size)
	}
	if q.ThreadID != 0 {
		attrs.PutInt("thread.id", int64(q.ThreadID))
	}
	if len(q.Writers) > 0 {
		writers := attrs.PutEmptySlice("etcd.disk.writers")
		for _, w := range q.Writers {
			writers.AppendEmpty().SetStr(w.String() + " " + bytesText(w.Size))
		}
	}
	b.say(lr, q.sentence(b.scratch))
	return true
}

// sentence: WAL sync of 0000000000000000-0000000000000000.wal took 212ms (98 KiB);
// dd[4711] wrote 120 MiB meanwhile.
func (q *Sync) sentence(s text) text {
	switch q.Type {
	case metadata.AttributeEtcdFileTypeWal:
		s.words("WAL ")
	case metadata.AttributeEtcdFileTypeBackend:
		s.words("backend ")
	}
	s.words("sync of ")
	s.key([]byte(q.Name))
	s.words(" took ")
	s.words(brief(q.Duration))
	if q.Size >= 0 {
		s.words(" (")
		s.words(bytesText(q.Size))
		s.words(")")
	}
	for i, w := range q.Writers {
		s.words([...]string{"; ", ", "}[min(i, 1)])
		s.words(w.String())
		s.words(" wrote ")
		s.words(bytesText(w.Size))
	}
	if len(q.Writers) > 0 {
		s.words(" meanwhile")
	}
	return s
}

// bytesText is a number of bytes for people: 98 KiB, 1.5 MiB.
func bytesText(n int64) string {
	units := [...]string{" B", " KiB", " MiB", " GiB", " TiB"}
	v, unit := float64(n), 0
	for v >= 1000 && unit < len(units)-1 { // as three digits
		v /= 1024
		unit++
	}
	digits := 0
	if v < 10 && unit > 0 {
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + units[unit]
}
