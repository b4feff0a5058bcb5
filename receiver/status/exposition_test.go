// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"bytes"
	"os"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/etcdreceiver/etcdreceiver/internal/golden"
)

func recordedMetrics(t testing.TB) []byte {
	raw, err := os.ReadFile(golden.Path("recorded/etcd-3.6-metrics.txt"))
	require.NoError(t, err)
	return raw
}

func TestExpositionKeepsUsedFamiliesAndDropsTheRest(t *testing.T) {
	e, err := parseExposition(bytes.NewReader(recordedMetrics(t)))
	require.NoError(t, err)
	v, ok := e.integer("etcd_server_quota_backend_bytes")
	assert.True(t, ok)
	assert.EqualValues(t, 2<<30, v)
	assert.Equal(t, "3.6.16", e.label(familyVersion, "server_version"))
	assert.Equal(t, dto.MetricType_HISTOGRAM, e["etcd_disk_wal_fsync_duration_seconds"].GetType())
	assert.Equal(t, dto.MetricType_COUNTER, e["grpc_server_handled_total"].GetType())
	for name := range e {
		assert.True(t, families[name], "%s is not used", name)
	}
	for _, m := range e["grpc_server_handled_total"].Metric {
		assert.NotZero(t, m.Counter.GetValue(), "methods that were never called are dropped")
	}
}

func TestExpositionThatIsNotEtcdsIsAnError(t *testing.T) {
	for name, text := range map[string]string{
		"empty":           "",
		"another program": "# TYPE http_requests_total counter\nhttp_requests_total 3\n",
		"a web page":      "<html><body>hello</body></html>",
		"a broken line":   "process_open_fds{ 3\n",
		"an endless line": strings.Repeat("x", maxLine+1),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseExposition(strings.NewReader(text))
			assert.Error(t, err)
		})
	}
}

func TestSeriesThatAreNotWholeNumbersAreLeftOut(t *testing.T) {
	e, err := parseExposition(strings.NewReader("process_open_fds NaN\nprocess_max_fds +Inf\n"))
	require.NoError(t, err)
	_, ok := e.integer("process_open_fds")
	assert.False(t, ok)
	_, ok = e.integer("process_max_fds")
	assert.False(t, ok)
}

func FuzzExpositionNeverPanics(f *testing.F) {
	f.Add([]byte("# TYPE process_open_fds gauge\nprocess_open_fds 3\n"))
	f.Add([]byte("etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.001\"} 3\netcd_disk_wal_fsync_duration_seconds_count 2\n"))
	f.Add([]byte("# TYPE etcd_disk_wal_fsync_duration_seconds histogram\netcd_disk_wal_fsync_duration_seconds_bucket{le=\"+Inf\"} 3\n"))
	f.Add([]byte("grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Range\"} 1e300\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := parseExposition(bytes.NewReader(raw))
		if err != nil {
			return
		}
		appendHistograms(pmetric.NewMetricSlice(), e, 0, 0)
		r := newRecorder(t)
		r.recordFamilies(0, e)
		r.builder.Emit()
	})
}

func TestBucketsThatAreNotCumulativeAreLeftOut(t *testing.T) {
	bucket := func(le float64, n uint64) *dto.Bucket { return &dto.Bucket{UpperBound: &le, CumulativeCount: &n} }
	for name, tc := range map[string]struct {
		buckets []*dto.Bucket
		count   uint64
		bounds  []float64
		counts  []uint64
	}{
		"good":                         {[]*dto.Bucket{bucket(1, 2), bucket(2, 5)}, 6, []float64{1, 2}, []uint64{2, 3, 1}},
		"no buckets":                   {nil, 6, nil, []uint64{6}},
		"counts fall":                  {[]*dto.Bucket{bucket(1, 5), bucket(2, 2)}, 6, nil, nil},
		"bounds fall":                  {[]*dto.Bucket{bucket(2, 2), bucket(1, 5)}, 6, nil, nil},
		"the total is below a bucket":  {[]*dto.Bucket{bucket(1, 5)}, 4, nil, nil},
		"the same bound appears twice": {[]*dto.Bucket{bucket(1, 2), bucket(1, 3)}, 4, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			bounds, counts, ok := buckets(&dto.Histogram{Bucket: tc.buckets, SampleCount: &tc.count})
			assert.Equal(t, tc.counts != nil, ok)
			assert.Equal(t, tc.bounds, bounds)
			assert.Equal(t, tc.counts, counts)
		})
	}
}

func TestREADMEHasEveryHistogram(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	for _, h := range histograms {
		assert.True(t, bytes.Contains(readme, []byte("`"+h.name+"`")), h.name)
	}
}

func BenchmarkParseExposition(b *testing.B) {
	raw := recordedMetrics(b)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseExposition(bytes.NewReader(raw)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRecordMember(b *testing.B) {
	e, err := parseExposition(bytes.NewReader(recordedMetrics(b)))
	require.NoError(b, err)
	r := newRecorder(b)
	v := goldenView(e)
	b.ReportAllocs()
	for b.Loop() {
		r.member(v, v.members[idN1])
	}
}
