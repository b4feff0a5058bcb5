// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"bytes"
	"net/netip"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/sketch"
)

// top counts requests by who asked and what for: the clients, users and key
// prefixes that ask most by name, the rest as one. They are cumulative sums, of
// which every backend can make rates, and not the top of each interval: that would
// be lost with a collection that the pipeline refuses, and begin new series each
// time. See sketch.Top for how the sums stay monotonic while names change.
type top struct {
	clients         *sketch.Top[netip.Addr]
	users, prefixes *sketch.Top[string]
}

func newTop(names int) *top {
	return &top{sketch.NewTop[netip.Addr](names), sketch.NewTop[string](names), sketch.NewTop[string](names)}
}

func (t *top) add(q *request, o *operation, now time.Time) {
	t.clients.Add(q.Client.Addr(), 1, now)
	t.users.Add(attribute(q.User), 1, now)
	t.prefixes.Add(prefixOf(q, o), 1, now)
}

// prefixOf is that of the key that a request is about, of a transaction that of the
// first key that it touched.
func prefixOf(q *request, o *operation) string {
	switch {
	case o == nil || o.keyIs != isKey:
		return ""
	case o.family == familyTxn && len(q.inner) > 0:
		return keyPrefix(q.inner[0].Key)
	default:
		return keyPrefix(q.Key)
	}
}

// prefixSegments tell kinds of things apart without naming one: /registry/pods/.
const prefixSegments = 2

// keyPrefix is the first segments of the path that a key is, never its last one.
func keyPrefix(key []byte) string {
	end := 0
	for range prefixSegments {
		begin := end
		if begin == 0 && bytes.HasPrefix(key, []byte("/")) {
			begin = 1
		}
		i := bytes.IndexByte(key[begin:], '/')
		if i < 0 {
			break
		}
		end = begin + i + 1
	}
	return attribute(key[:end])
}

// attribute is a text that is UTF-8 whatever it was.
func attribute(text []byte) string { return strings.ToValidUTF8(string(text), "\ufffd") }

// record hands the sums over. start is since when others are counted.
func (t *top) record(b *metadata.MetricsBuilder, start, now time.Time) {
	address := func(a netip.Addr) string {
		if !a.IsValid() {
			return ""
		}
		return a.String()
	}
	text := func(s string) string { return s }
	recordTop(b, t.clients, address, b.RecordEtcdClientRequestsDataPoint, start, now)
	recordTop(b, t.users, text, b.RecordEtcdUserRequestsDataPoint, start, now)
	recordTop(b, t.prefixes, text, b.RecordEtcdPrefixRequestsDataPoint, start, now)
}

func recordTop[K comparable](b *metadata.MetricsBuilder, t *sketch.Top[K], name func(K) string,
	record func(pcommon.Timestamp, int64, string), start, now time.Time,
) {
	at := pcommon.NewTimestampFromTime(now)
	for n := range t.Named() {
		since := n.Since
		if since.After(now) { // now is the time of the tick
			since = now
		}
		b.Reset(metadata.WithStartTime(pcommon.NewTimestampFromTime(since)))
		record(at, int64(n.Count), name(n.Key))
	}
	b.Reset(metadata.WithStartTime(pcommon.NewTimestampFromTime(start)))
	record(at, int64(t.Other()), "other")
}
