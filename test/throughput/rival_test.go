// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package throughput

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
)

// rival reads with the watcher of etcd's client library, and makes of every change
// the record that ours makes, as one writes it who knows pdata: batch changes in
// one plog.Logs (as ours, but at the end of a revision), with room reserved.
type rival struct {
	client   *clientv3.Client
	batch    int
	prevKV   bool
	consume  consumer.ConsumeLogsFunc
	cluster  uint64
	revision int64
	subIndex int
}

// read reads from a revision on until ctx ends.
func (r *rival) read(ctx context.Context, first int64) error {
	options := []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithRev(first)}
	if r.prevKV {
		options = append(options, clientv3.WithPrevKV())
	}
	for response := range r.client.Watch(ctx, "", options...) {
		if err := response.Err(); err != nil {
			return err
		}
		r.cluster = response.Header.ClusterId
		for events := response.Events; len(events) > 0; {
			n := r.next(events)
			if err := r.consume(ctx, r.logs(events[:n])); err != nil {
				return err
			}
			events = events[n:]
		}
	}
	return nil
}

// next is how many events the next batch has.
func (r *rival) next(events []*clientv3.Event) int {
	if r.batch == 1 {
		return 1
	}
	n := min(r.batch, len(events))
	for n < len(events) && events[n].Kv.ModRevision == events[n-1].Kv.ModRevision {
		n++
	}
	return n
}

func (r *rival) logs(events []*clientv3.Event) plog.Logs {
	logs := plog.NewLogs()
	rl := logs.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().EnsureCapacity(2)
	rl.Resource().Attributes().PutStr("service.name", "etcd")
	rl.Resource().Attributes().PutStr("etcd.cluster.id", hex(r.cluster))
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName("github.com/etcdreceiver/etcdreceiver")
	sl.Scope().SetVersion(component.NewDefaultBuildInfo().Version)
	records := sl.LogRecords()
	records.EnsureCapacity(len(events))
	now := pcommon.NewTimestampFromTime(time.Now())
	for _, ev := range events {
		if ev.Kv.ModRevision != r.revision {
			r.revision, r.subIndex = ev.Kv.ModRevision, 0
		}
		r.record(records.AppendEmpty(), ev, now)
		r.subIndex++
	}
	return logs
}

func (r *rival) record(lr plog.LogRecord, ev *clientv3.Event, now pcommon.Timestamp) {
	name := "etcd.kv.put"
	if ev.Type == clientv3.EventTypeDelete {
		name = "etcd.kv.delete"
	}
	lr.SetEventName(name)
	lr.SetObservedTimestamp(now)
	lr.SetSeverityNumber(plog.SeverityNumberInfo)
	lr.SetSeverityText("INFO")
	key, revision := string(ev.Kv.Key), strconv.FormatInt(ev.Kv.ModRevision, 10)
	attrs := lr.Attributes()
	attrs.EnsureCapacity(11)
	attrs.PutStr("event.name", name)
	attrs.PutStr("etcd.key", key)
	attrs.PutInt("etcd.kv.mod_revision", ev.Kv.ModRevision)
	attrs.PutInt("etcd.kv.sub_index", int64(r.subIndex))
	attrs.PutStr("log.record.uid", revision+"-"+hex(r.identity(ev)))
	if ev.Type == clientv3.EventTypeDelete {
		r.deleted(lr, ev, key, revision)
		return
	}
	size := strconv.Itoa(len(ev.Kv.Value))
	attrs.PutInt("etcd.kv.create_revision", ev.Kv.CreateRevision)
	attrs.PutInt("etcd.kv.version", ev.Kv.Version)
	putLease(attrs, ev.Kv.Lease)
	attrs.PutInt("etcd.kv.value_size", int64(len(ev.Kv.Value)))
	if ev.PrevKv != nil {
		attrs.PutInt("etcd.kv.prev_mod_revision", ev.PrevKv.ModRevision)
		attrs.PutInt("etcd.kv.prev_value_size", int64(len(ev.PrevKv.Value)))
	}
	lr.Body().SetStr("put " + key + " rev " + revision + " (" + size + " B, version " + strconv.FormatInt(ev.Kv.Version, 10) + ")")
}

func (r *rival) deleted(lr plog.LogRecord, ev *clientv3.Event, key, revision string) {
	was := ""
	if ev.PrevKv != nil {
		attrs := lr.Attributes()
		attrs.PutInt("etcd.kv.create_revision", ev.PrevKv.CreateRevision)
		putLease(attrs, ev.PrevKv.Lease)
		attrs.PutInt("etcd.kv.prev_mod_revision", ev.PrevKv.ModRevision)
		attrs.PutInt("etcd.kv.prev_value_size", int64(len(ev.PrevKv.Value)))
		was = " (was " + strconv.Itoa(len(ev.PrevKv.Value)) + " B)"
	}
	lr.Body().SetStr("delete " + key + " rev " + revision + was)
}

func putLease(attrs pcommon.Map, lease int64) {
	if lease != 0 {
		attrs.PutStr("etcd.lease.id", hex(uint64(lease)))
	}
}

// identity is our hash, which any reader needs whose records can be told apart.
func (r *rival) identity(ev *clientv3.Event) uint64 {
	own := logrecord.Event{Delete: ev.Type == clientv3.EventTypeDelete, KV: logrecord.KeyValue{
		Key: ev.Kv.Key, Value: ev.Kv.Value, CreateRevision: ev.Kv.CreateRevision,
		ModRevision: ev.Kv.ModRevision, Version: ev.Kv.Version, Lease: ev.Kv.Lease,
	}}
	var both [16]byte
	binary.LittleEndian.PutUint64(both[:8], own.Identity())
	binary.LittleEndian.PutUint64(both[8:], r.cluster)
	return xxhash.Sum64(both[:])
}

// hex is fmt's %016x for less.
func hex(v uint64) string {
	digits := strconv.FormatUint(v, 16)
	return strings.Repeat("0", 16-len(digits)) + digits
}

// startRival reads in a goroutine until stop.
func startRival(ctx context.Context, r *rival, first int64) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { // ends with ctx
		ended <- r.read(clientv3.WithRequireLeader(ctx), first)
	}()
	return func() error {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("the rival: %w", err)
		}
		return nil
	}
}
