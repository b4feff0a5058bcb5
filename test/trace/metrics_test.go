// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// asker is a client at an address of its own, and what it asked.
type asker struct {
	*grpc.ClientConn
	t       *testing.T
	address string
	user    string
	token   string
	asked   int64
}

func askFrom(t *testing.T, member *localcluster.Member, address string) *asker {
	t.Helper()
	u, err := url.Parse(member.ClientURL)
	require.NoError(t, err)
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	conn, err := grpc.NewClient("passthrough:///"+u.Host, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(),
		grpc.WithContextDialer(func(ctx context.Context, to string) (net.Conn, error) { return from.DialContext(ctx, "tcp", to) }))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return &asker{ClientConn: conn, t: t, address: address}
}

// is logs in.
func (a *asker) is(user, password string) {
	a.t.Helper()
	r, err := pb.NewAuthClient(a.ClientConn).Authenticate(a.t.Context(), &pb.AuthenticateRequest{Name: user, Password: password})
	require.NoError(a.t, err)
	a.user, a.token = user, r.Token
}

// ctx is of one request.
func (a *asker) ctx() context.Context {
	a.asked++
	if a.token == "" {
		return a.t.Context()
	}
	return metadata.AppendToOutgoingContext(a.t.Context(), "token", a.token)
}

func (a *asker) put(key string, size int) error {
	_, err := pb.NewKVClient(a.ClientConn).Put(a.ctx(), &pb.PutRequest{Key: []byte(key), Value: make([]byte, size)})
	return err
}

// receive runs the receiver with nothing but the road of the kernel, of this member.
func receive(t *testing.T, member *localcluster.Member, config string) *harness.Receiver {
	t.Helper()
	harness.NeedRoot(t)
	text := fmt.Sprintf(config, member.ClientURL, member.PID())
	r := harness.New(t, text, true, true)
	if err := r.TryStart(); err != nil {
		harness.NotHere(t, err.Error())
	}
	t.Cleanup(func() { r.Stop(t) })
	waitFor(t, "an etcd that is traced", func() bool { return r.Log.FilterMessage("requests of etcd are traced").Len() > 0 })
	return r
}

// series gives the last points of a metric by one of their attributes.
func series(r *harness.Receiver, name, attribute string) map[string]pmetric.NumberDataPoint {
	all := r.Metrics()
	if len(all) == 0 {
		return nil
	}
	return seriesIn(all[len(all)-1].Metrics, name, attribute)
}

func seriesIn(metrics pmetric.Metrics, name, attribute string) map[string]pmetric.NumberDataPoint {
	points := map[string]pmetric.NumberDataPoint{}
	if m, ok := find(metrics, name); ok {
		for _, dp := range m.Sum().DataPoints().All() {
			value, _ := dp.Attributes().Get(attribute)
			points[value.Str()] = dp
		}
	}
	return points
}

func find(metrics pmetric.Metrics, name string) (pmetric.Metric, bool) {
	for _, rm := range metrics.ResourceMetrics().All() {
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			if m.Name() == name {
				return m, true
			}
		}
	}
	return pmetric.Metric{}, false
}

// sums are the values of series.
func sums(r *harness.Receiver, name, attribute string) map[string]int64 {
	values := map[string]int64{}
	for key, dp := range series(r, name, attribute) {
		values[key] = dp.IntValue()
	}
	return values
}

func sumOf(values map[string]int64) (sum int64) {
	for _, n := range values {
		sum += n
	}
	return sum
}

// outcomes are the last points of a histogram by operation, and by its code if it
// has one.
func outcomes(r *harness.Receiver, name string) map[string]pmetric.HistogramDataPoint {
	all := r.Metrics()
	return outcomesIn(all[len(all)-1].Metrics, name)
}

func outcomesIn(metrics pmetric.Metrics, name string) map[string]pmetric.HistogramDataPoint {
	points := map[string]pmetric.HistogramDataPoint{}
	m, ok := find(metrics, name)
	if !ok {
		return points
	}
	for _, dp := range m.Histogram().DataPoints().All() {
		operation, _ := dp.Attributes().Get("db.operation.name")
		key := operation.Str()
		if code, ok := dp.Attributes().Get("rpc.response.status_code"); ok {
			key += " " + code.Str()
		}
		points[key] = dp
	}
	return points
}

func TestEachRequestCountsOnceInEveryMetric(t *testing.T) {
	cluster := harness.Start(t, "3.6", localcluster.Config{ExtraArgs: []string{"--bcrypt-cost=4"}})
	member := cluster.Members()[0]
	require.NoError(t, cluster.EnableAuth(t.Context(), rootPassword))
	root := askFrom(t, member, "127.0.0.1")
	root.is("root", rootPassword)
	var all []*asker
	for i, user := range []string{"ann", "bob", "eve"} {
		addUser(t, root, user)
		a := askFrom(t, member, fmt.Sprintf("127.0.0.%d", i+2))
		a.is(user, "x")
		all = append(all, a)
	}
	r := receive(t, member, `{endpoints: ["%s"], username: root, password: "`+rootPassword+`", collection_interval: 100ms, watch: {enabled: false}, status: {enabled: false},
		ebpf: {mode: required, processes: {pids: [%d], rescan: 100ms}, events: {mode: all}}}`)
	root.asked = 0
	waitFor(t, "a request with a user", func() bool {
		require.NoError(t, root.put("/warm/up/key", 0))
		return sums(r, "etcd.user.requests", "user.name")["root"] > 0
	})

	counts, values := map[string]int{}, map[string]float64{}
	kv := func(a *asker) pb.KVClient { return pb.NewKVClient(a.ClientConn) }
	for i, a := range all {
		for n := range 10 * (i + 1) {
			size := n * n
			require.NoError(t, a.put(fmt.Sprintf("/%s/data/%d", a.user, n), size))
			counts["put OK"]++
			values["put"] += float64(size)
		}
		for range 3 {
			require.Equal(t, codes.PermissionDenied, status.Code(a.put("/root/data/secret", 10)))
			counts["put PERMISSION_DENIED"]++
		}
		own := []byte("/" + a.user + "/data/")
		end := []byte("/" + a.user + "/data0")
		_, err := kv(a).Range(a.ctx(), &pb.RangeRequest{Key: own, RangeEnd: end})
		require.NoError(t, err)
		counts["range OK"]++
		_, err = kv(a).Txn(a.ctx(), &pb.TxnRequest{Success: []*pb.RequestOp{put(string(own)+"x", "12345"), put(string(own)+"y", "67")}})
		require.NoError(t, err)
		counts["txn OK"]++
		values["txn"] += 7
		deleted, err := kv(a).DeleteRange(a.ctx(), &pb.DeleteRangeRequest{Key: own, RangeEnd: end})
		require.NoError(t, err)
		require.EqualValues(t, 10*(i+1)+2, deleted.Deleted)
		counts["delete_range OK"]++
		_, err = pb.NewLeaseClient(a.ClientConn).LeaseGrant(a.ctx(), &pb.LeaseGrantRequest{TTL: 60})
		require.NoError(t, err)
		counts["lease_grant OK"]++
	}
	counts["put OK"] += int(root.asked)
	stream, err := pb.NewWatchClient(root.ClientConn).Watch(root.ctx())
	require.NoError(t, err)
	require.NoError(t, stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("/warm/up/key")}}}))
	_, err = stream.Recv()
	require.NoError(t, err)

	total := root.asked
	clients := map[string]int64{"127.0.0.1": root.asked, "other": 0}
	prefixes := map[string]int64{"/warm/up/": root.asked, "": int64(len(all)), "/root/data/": 3 * int64(len(all)), "other": 0}
	users := map[string]int64{"other": 0}
	for _, a := range all {
		total += a.asked
		clients[a.address], users[a.user] = a.asked, a.asked
		prefixes["/"+a.user+"/data/"] = a.asked - 3 - 1 // those denied, and the lease
	}
	waitFor(t, "all requests", func() bool { return sumOf(sums(r, "etcd.client.requests", "client.address")) >= total })
	r.Stop(t)

	assert.Equal(t, clients, sums(r, "etcd.client.requests", "client.address"))
	assert.Equal(t, prefixes, sums(r, "etcd.prefix.requests", "etcd.key_prefix"))
	byUser := sums(r, "etcd.user.requests", "user.name")
	assert.Equal(t, total, sumOf(byUser))
	assert.Equal(t, root.asked, byUser["root"]+byUser[""], "the first ones were before users were told")
	delete(byUser, "root")
	delete(byUser, "")
	assert.Equal(t, users, byUser)
	assert.Equal(t, map[string]int64{"watch_create": 1}, sums(r, "etcd.stream.requests", "db.operation.name"))

	durations := outcomes(r, "etcd.request.duration")
	for outcome, n := range counts {
		assert.EqualValues(t, n, durations[outcome].Count(), outcome)
	}
	assert.Len(t, durations, len(counts))

	sizes := outcomes(r, "etcd.request.value.size")
	assert.Len(t, sizes, 2)
	for operation, sum := range values {
		assert.InDelta(t, sum, sizes[operation].Sum(), 0, operation)
	}
	assert.EqualValues(t, counts["put OK"], sizes["put"].Count())
	assert.EqualValues(t, 2*counts["txn OK"], sizes["txn"].Count())
	answers := outcomes(r, "etcd.response.count")
	assert.Len(t, answers, 2)
	assert.InDelta(t, 10+20+30, answers["range"].Sum(), 0)
	assert.InDelta(t, 10+20+30+2*3, answers["delete_range"].Sum(), 0)

	activeIsOfDurations(t, r.Metrics())
	batches := r.Metrics()
	assert.Equal(t, 12, areAsDeclared(t, batches[len(batches)-1].Metrics, "(eBPF).", false))
}

// addUser makes a user with the prefix of its name.
func addUser(t *testing.T, root *asker, user string) {
	t.Helper()
	auth, all := pb.NewAuthClient(root.ClientConn), authpb.READWRITE
	_, err := auth.UserAdd(root.ctx(), &pb.AuthUserAddRequest{Name: user, Password: "x", Options: &authpb.UserAddOptions{}})
	require.NoError(t, err)
	_, err = auth.RoleAdd(root.ctx(), &pb.AuthRoleAddRequest{Name: user})
	require.NoError(t, err)
	_, err = auth.RoleGrantPermission(root.ctx(), &pb.AuthRoleGrantPermissionRequest{
		Name: user, Perm: &authpb.Permission{PermType: all, Key: []byte("/" + user + "/"), RangeEnd: []byte("/" + user + "0")},
	})
	require.NoError(t, err)
	_, err = auth.UserGrantRole(root.ctx(), &pb.AuthUserGrantRoleRequest{User: user, Role: user})
	require.NoError(t, err)
}

// activeIsOfDurations: what the histograms of durations have gained since the last
// collection, over the time since then, is the mean number of requests in progress.
func activeIsOfDurations(t *testing.T, batches []harness.MetricsBatch) {
	t.Helper()
	busy, last := 0, map[string]float64{}
	var then time.Time
	for _, b := range batches {
		others := seriesIn(b.Metrics, "etcd.client.requests", "client.address")["other"] // is always there
		now := others.Timestamp().AsTime()
		if then.IsZero() {
			then = others.StartTimestamp().AsTime()
		}
		took := map[string]float64{}
		for outcome, dp := range outcomesIn(b.Metrics, "etcd.request.duration") {
			operation, _, _ := strings.Cut(outcome, " ")
			took[operation] += dp.Sum()
		}
		m, ok := find(b.Metrics, "etcd.request.active")
		if !ok {
			assert.Empty(t, took)
			then = now
			continue
		}
		for _, dp := range m.Gauge().DataPoints().All() {
			operation, _ := dp.Attributes().Get("db.operation.name")
			want := (took[operation.Str()] - last[operation.Str()]) / now.Sub(then).Seconds()
			assert.InDelta(t, want, dp.DoubleValue(), 1e-6, operation.Str())
			if dp.DoubleValue() > 0 {
				busy++
			}
		}
		assert.Len(t, took, m.Gauge().DataPoints().Len())
		last, then = took, now
	}
	assert.Positive(t, busy)
}

// ofPeers is how the metrics begin that only a cluster of several members has.
const ofPeers = "etcd.network.peer."

// areAsDeclared holds the metrics of a road against metadata.yaml: those of peers, or
// the others. It gives how many there are.
func areAsDeclared(t *testing.T, last pmetric.Metrics, road string, peers bool) (seen int) {
	t.Helper()
	text, err := os.ReadFile("../../metadata.yaml")
	require.NoError(t, err)
	var contract struct {
		Metrics map[string]struct {
			Description, Unit string
			Sum               *struct{ Monotonic bool }
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &contract))
	for name, is := range contract.Metrics {
		if !strings.HasSuffix(is.Description, road) || strings.HasPrefix(name, ofPeers) != peers {
			continue
		}
		seen++
		m, ok := find(last, name)
		if !assert.True(t, ok, name) {
			continue
		}
		assert.Equal(t, is.Unit, m.Unit(), name)
		assert.Equal(t, is.Description, m.Description(), name)
		if is.Sum == nil {
			assert.Equal(t, pmetric.MetricTypeGauge, m.Type(), name)
			continue
		}
		assert.Equal(t, is.Sum.Monotonic, m.Sum().IsMonotonic(), name)
		assert.Equal(t, pmetric.AggregationTemporalityCumulative, m.Sum().AggregationTemporality(), name)
		for _, dp := range m.Sum().DataPoints().All() {
			assert.LessOrEqual(t, dp.StartTimestamp(), dp.Timestamp(), name)
		}
	}
	return seen
}

func TestWhatExceedsTheLimitIsToldAndStillCounts(t *testing.T) {
	const puts, failures, limit = 300, 40, 5
	cluster := harness.Start(t, "3.6", localcluster.Config{})
	member := cluster.Members()[0]
	r := receive(t, member, fmt.Sprintf(`{endpoints: ["%%s"], collection_interval: 100ms, watch: {enabled: false}, status: {enabled: false},
		metrics: {etcd.client.requests: {enabled: false}},
		ebpf: {mode: required, processes: {pids: [%%d], rescan: 100ms}, top: 1, events: {max_per_second: %d}}}`, limit))
	a := askFrom(t, member, "127.0.0.1")
	for n := range puts {
		prefix := "/most"
		if n%3 == 2 {
			prefix = "/less"
		}
		require.NoError(t, a.put(fmt.Sprintf("%s/data/%d", prefix, n), 1))
	}
	for range failures {
		require.Error(t, a.put("", 1))
	}
	told := func() (records map[string]int64, nexts, gaps int64) {
		records = map[string]int64{}
		for _, record := range r.Records() {
			switch record.Name {
			case "etcd.watch.gap":
				gaps += record.Attrs["etcd.gap.count"].(int64)
			case "etcd.request.put":
				records[record.Attrs["rpc.response.status_code"].(string)]++
				if record.Attrs["etcd.key"] == "/most/data/next" {
					nexts++
				}
			}
		}
		return records, nexts, gaps
	}
	waitFor(t, "all requests", func() bool { return sumOf(sums(r, "etcd.prefix.requests", "etcd.key_prefix")) == puts+failures })
	next := int64(0)
	waitFor(t, "the gaps", func() bool { // told by the next record that leaves
		records, _, gaps := told()
		if sumOf(records)+gaps == a.asked {
			return true
		}
		// Of the most: were it another prefix, enough of them would take the only name.
		require.NoError(t, a.put("/most/data/next", 1))
		next++
		time.Sleep(2 * time.Second / limit) // until the limit lets another one pass
		return false
	})
	r.Stop(t)

	records, nexts, gaps := told()
	t.Logf("%d asked, %v told, %d in gaps", a.asked, records, gaps)
	assert.GreaterOrEqual(t, records["OK"]-nexts, int64(limit))
	assert.GreaterOrEqual(t, records["INVALID_ARGUMENT"], int64(limit), "a flood of others hides no failure")
	assert.Equal(t, map[string]int64{"rate_limit": gaps}, lostEvents(t, r))
	assert.Equal(t, map[string]int64{"/most/data/": 2*puts/3 + next, "other": puts/3 + failures}, sums(r, "etcd.prefix.requests", "etcd.key_prefix"))
	assert.Equal(t, map[string]int64{"": a.asked, "other": 0}, sums(r, "etcd.user.requests", "user.name"))
	durations := outcomes(r, "etcd.request.duration")
	assert.EqualValues(t, a.asked, durations["put OK"].Count()+durations["put INVALID_ARGUMENT"].Count())
	assert.EqualValues(t, failures, durations["put INVALID_ARGUMENT"].Count())
	assert.Empty(t, series(r, "etcd.client.requests", "client.address"), "switched off")
}

// lostEvents is what the receiver says of itself, by stage.
func lostEvents(t *testing.T, r *harness.Receiver) map[string]int64 {
	t.Helper()
	m, err := r.Telemetry.GetMetric("otelcol_receiver_etcd_events_lost")
	require.NoError(t, err)
	lost := map[string]int64{}
	for _, dp := range m.Data.(metricdata.Sum[int64]).DataPoints {
		stage, _ := dp.Attributes.Value("stage")
		lost[stage.AsString()] = dp.Value
	}
	return lost
}
