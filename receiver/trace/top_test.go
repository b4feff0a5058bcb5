// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

var now = time.Unix(1700000000, 0)

// newMeasuring is a tracer that measures, and traces nothing.
func newMeasuring(s Settings) *tracer {
	return &tracer{Tracer: &Tracer{
		Settings: s, Metrics: func(context.Context, pmetric.Metrics) {}, Logs: func(context.Context, plog.Logs) error { return nil },
	}, programs: &bpf.Programs{}}
}

func TestAPrefixIsTheFirstTwoSegmentsAndNeverTheWholeKey(t *testing.T) {
	for key, want := range map[string]string{
		"/registry/pods/default/web-1": "/registry/pods/",
		"/registry/pods/":              "/registry/pods/",
		"/registry/pods":               "/registry/",
		"registry/pods/default":        "registry/pods/",
		"/config":                      "",
		"password":                     "",
		"":                             "",
		"/":                            "",
		"//a/b":                        "//a/",
		"a/b":                          "a/",
		"/\xff/\xfe\xfd/x":             "/\ufffd/\ufffd/",
	} {
		assert.Equal(t, want, keyPrefix([]byte(key)), "%q", key)
	}
}

func TestARequestHasThePrefixOfTheKeyThatItIsAbout(t *testing.T) {
	inner := func(keys ...string) (all []bpf.Record) {
		for _, key := range keys {
			all = append(all, bpf.Record{Key: []byte(key)})
		}
		return all
	}
	for name, tc := range map[string]struct {
		operation, key string
		inner          []bpf.Record
		want           string
	}{
		"a put":                        {"put", "/a/b/c", nil, "/a/b/"},
		"a range of keys":              {"range", "/a/b/", nil, "/a/b/"},
		"a watch":                      {"watch_create", "/a/b/", nil, "/a/b/"},
		"a transaction":                {"txn", "", inner("/a/b/c", "/d/e/f"), "/a/b/"},
		"a transaction of nothing":     {"txn", "", nil, ""},
		"a user is no key":             {"user_add", "/a/b/c", nil, ""},
		"the name of a lock is no key": {"lock", "/a/b/c", nil, ""},
		"a lease has none":             {"lease_grant", "", nil, ""},
		"an operation nobody knows":    {"", "/a/b/c", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var o *operation
			for code := range uint8(len(unary) + len(streams) + 1) {
				if is := byCode(code); is != nil && is.name == tc.operation {
					o = is
				}
			}
			assert.Equal(t, tc.want, prefixOf(&request{Record: bpf.Record{Key: []byte(tc.key)}, inner: tc.inner}, o))
		})
	}
}

// points are those of the sums, by name and attribute.
func points(metrics pmetric.Metrics) map[string]map[string]pmetric.NumberDataPoint {
	all := map[string]map[string]pmetric.NumberDataPoint{}
	for _, rm := range metrics.ResourceMetrics().All() {
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			all[m.Name()] = map[string]pmetric.NumberDataPoint{}
			for _, dp := range m.Sum().DataPoints().All() {
				for _, v := range dp.Attributes().All() {
					all[m.Name()][v.Str()] = dp
				}
			}
		}
	}
	return all
}

func TestRequestsAreCountedByNameAndTheRestTogether(t *testing.T) {
	config := metadata.NewDefaultMetricsBuilderConfig()
	config.Metrics.EtcdUserRequests.Enabled = false
	b := metadata.NewMetricsBuilder(config, receiver.Settings{})
	counted := newTop(2)
	ask := func(times int, client, user, key string) {
		q := &request{Record: bpf.Record{User: []byte(user), Key: []byte(key)}}
		q.Client, _ = netip.ParseAddrPort(client)
		for range times {
			counted.add(q, &unary[1], now.Add(time.Second))
		}
	}
	ask(5, "10.0.0.1:1", "a", "/a/b/c")
	ask(3, "10.0.0.1:2", "b", "/a/b/d")
	ask(2, "[::1]:1", "c", "/x/")
	ask(1, "10.0.0.2:1", "", "y")
	ask(4, "", "d", "/x/y")

	for _, collected := range []time.Time{now, now.Add(time.Minute)} { // the first tick was before
		counted.record(b, now.Add(-time.Hour), collected)
		got := points(b.Emit())
		counts := map[string]map[string]int64{}
		for name, each := range got {
			counts[name] = map[string]int64{}
			for attribute, dp := range each {
				counts[name][attribute] = dp.IntValue()
				assert.Equal(t, collected.UTC(), dp.Timestamp().AsTime())
				assert.False(t, dp.StartTimestamp() > dp.Timestamp(), "%s of %s", attribute, name)
			}
		}
		assert.Equal(t, map[string]map[string]int64{
			// Those without a client came more often than ::1, whose series has ended with 2.
			"etcd.client.requests": {"10.0.0.1": 8, "": 2, "other": 3},
			"etcd.prefix.requests": {"/a/b/": 8, "/x/": 6, "other": 1},
		}, counts)
	}
}
