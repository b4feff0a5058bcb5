// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/discovery"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// finishing is a tracer of one process that finishes requests, and traces nothing.
func finishing(s Settings) (t *tracer, p *process) {
	t = newMeasuring(s)
	p = &process{Process: discovery.Process{PID: 1}, executable: &executable{}, verified: true}
	t.processes = map[int]*process{p.PID: p}
	t.Resource = &resource.Builder{}
	t.outbox = &outbox{
		format: &logrecord.Format{Events: metadata.DefaultEventsConfig(), Body: true}, resource: t.Resource,
		queue: make(chan plog.Logs, 1), open: map[*process]*openBatch{},
	}
	return t, p
}

// ask is a request of an operation that was served.
func ask(t *testing.T, operation string, r bpf.Record, inner ...bpf.Record) *request {
	t.Helper()
	for code := range uint8(len(unary) + len(streams) + 1) {
		if o := byCode(code); o != nil && o.name == operation {
			r.PID, r.Operation, r.Kind = 1, code, bpf.KindRequest
			if int(code) > len(unary) {
				r.Kind = bpf.KindStream
			}
			r.KeyLen, r.EndLen, r.ValueLen, r.Count = int32(len(r.Key)), int32(len(r.End)), bpf.Unknown, bpf.Unknown
			if r.End == nil {
				r.EndLen = -1
			}
			for i := range inner {
				inner[i].ValueLen = bpf.Unknown
			}
			return &request{Record: r, inner: inner}
		}
	}
	require.Fail(t, "there is no operation "+operation)
	return nil
}

// recordsOf are those of what was finished.
func recordsOf(t *tracer) []plog.LogRecord {
	t.outbox.flush(time.Now(), true)
	var all []plog.LogRecord
	select {
	case logs := <-t.outbox.queue:
		for _, lr := range logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
			all = append(all, lr)
		}
	default:
	}
	return all
}

func TestRequestsForExcludedKeysAreToldWithoutTheKeys(t *testing.T) {
	key := func(text string) bpf.Record { return bpf.Record{Key: []byte(text)} }
	between := func(from, to string) bpf.Record { return bpf.Record{Key: []byte(from), End: []byte(to)} }
	for name, tc := range map[string]struct {
		operation string
		is        bpf.Record
		inner     []bpf.Record
		body      string
		prefix    string
	}{
		"a key":                       {"put", key("/hidden/x/y"), nil, "somebody put in 0s", ""},
		"a key beside":                {"put", key("/hid/x/y"), nil, "somebody put /hid/x/y in 0s", "/hid/x/"},
		"all below":                   {"delete_range", between("/hidden/", "/hidden0"), nil, "somebody delete range in 0s", ""},
		"a range that ends there":     {"range", between("/a/b/c", "/hidden/x"), nil, "somebody range in 0s", ""},
		"a range that ends before it": {"range", between("/a/b/c", "/hidden/"), nil, "somebody range /a/b/c../hidden/ in 0s", "/a/b/"},
		"a watch":                     {"watch_create", key("/hidden/x/y"), nil, "somebody watch create", ""},
		"a lock":                      {"lock", key("/hidden/x"), nil, "somebody lock in 0s", ""},
		"a user of that name":         {"user_add", key("/hidden/x"), nil, "somebody user add /hidden/x in 0s", ""},
		"a transaction": {
			"txn",
			bpf.Record{},
			[]bpf.Record{{Operation: 1, Key: []byte("/hidden/x/y")}, {Operation: 1, Key: []byte("/a/b/c")}},
			"somebody txn put, put /a/b/c in 0s", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			tr, p := finishing(Settings{Mode: ModeAll, Sample: 1, Top: 9, Exclude: []string{"/hidden/"}})
			tr.finished(ask(t, tc.operation, tc.is, tc.inner...))
			records := recordsOf(tr)
			require.Len(t, records, 1)
			assert.Equal(t, tc.body, records[0].Body().Str())
			for attribute, v := range records[0].Attributes().All() {
				if !strings.Contains(tc.body, "/hidden/") {
					assert.NotContains(t, v.AsString(), "/hidden/", attribute)
				}
			}
			for n := range tr.meter(p).top.prefixes.Named() {
				assert.Equal(t, tc.prefix, n.Key)
			}
		})
	}
}

func TestTheModeChoosesAmongRequestsOnStreamsToo(t *testing.T) {
	for mode, want := range map[Mode][]string{
		ModeNone:   nil,
		ModeSlow:   nil,
		ModeWrites: {"snapshot"},
		ModeAll:    {"watch_create", "lease_keep_alive", "snapshot", "range_stream", "watch_cancel", "watch_close"},
	} {
		t.Run(string(mode), func(t *testing.T) {
			tr, _ := finishing(Settings{Mode: mode, Sample: 1})
			for i := range streams {
				tr.finished(ask(t, streams[i].name, bpf.Record{}))
			}
			var got []string
			for _, lr := range recordsOf(tr) {
				operation, _ := lr.Attributes().Get("db.operation.name")
				got = append(got, operation.Str())
			}
			assert.Equal(t, want, got)
		})
	}
}
