// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/receiver/trace"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// numbers are the last points of a metric of one member, by the values of their
// attributes in alphabetical order but for the reason, joined by a space.
func (tr *tracing) numbers(member, name string) map[string]float64 {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	points := map[string]float64{}
	for _, rm := range tr.metrics.ResourceMetrics().All() {
		if of, _ := rm.Resource().Attributes().Get("etcd.member.name"); of.Str() != member {
			continue
		}
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			if m.Name() == name {
				addPoints(points, m)
			}
		}
	}
	return points
}

func addPoints(points map[string]float64, m pmetric.Metric) {
	var data pmetric.NumberDataPointSlice
	if m.Type() == pmetric.MetricTypeSum {
		data = m.Sum().DataPoints()
	} else {
		data = m.Gauge().DataPoints()
	}
	for _, dp := range data.All() {
		var values []string
		for _, name := range []string{"client.address", "etcd.network.direction", "etcd.network.end", "etcd.network.handshake", "etcd.network.peer_type", "etcd.peer.id", "network.io.direction", "error.type"} {
			if v, ok := dp.Attributes().Get(name); ok {
				values = append(values, v.Str())
			}
		}
		n := dp.DoubleValue()
		if dp.ValueType() == pmetric.NumberDataPointValueTypeInt {
			n = float64(dp.IntValue())
		}
		points[strings.Join(values, " ")] = n
	}
}

// etcdCounts are counters of a member's /metrics, summed up over their labels.
func etcdCounts(t *testing.T, cluster *localcluster.Cluster, m *localcluster.Member, names ...string) map[string]float64 {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	if cluster.TLS() != nil {
		transport.TLSClientConfig = cluster.TLS().Config()
	}
	answer, err := (&http.Client{Transport: transport}).Get(m.ClientURL + "/metrics")
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	require.NoError(t, err)
	counts := map[string]float64{}
	for _, name := range names {
		for _, metric := range families[name].GetMetric() {
			counts[name] += metric.GetCounter().GetValue()
		}
	}
	return counts
}

// withAndWithoutBTF proves something twice.
func withAndWithoutBTF(t *testing.T, prove func(t *testing.T, btf bool)) {
	harness.NeedRoot(t)
	const without = "without BTF"
	if os.Getenv(inPlace) == without {
		mountTracefs(t)
		mount(t, "none", "/sys/kernel/btf", "tmpfs", 0)
		prove(t, false)
		return
	}
	t.Run("with BTF", func(t *testing.T) { prove(t, true) })
	t.Run(without, func(t *testing.T) { goTo(t, without, place{0, nil}) })
}

func everythingOfNetworks(pids ...int) trace.Settings {
	s := everything(pids...)
	s.Top = 5
	return s
}

// The kernel counts the bytes of TCP, etcd those of messages: what is around them is
// little beside large values.
func TestBytesAreThoseThatEtcdCounts(t *testing.T) {
	cluster := harness.Start(t, "3.6", localcluster.Config{Size: 3, TLS: true})
	tr := follow(t, cluster, everythingOfNetworks(pids(cluster)...), "")
	tr.awaitTraced(t, pids(cluster)...)
	m := cluster.Members()[0]
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{m.ClientURL}, TLS: cluster.TLS().Config(), Logger: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })

	names := []string{
		"etcd_network_client_grpc_received_bytes_total", "etcd_network_client_grpc_sent_bytes_total",
		"etcd_network_peer_received_bytes_total", "etcd_network_peer_sent_bytes_total",
	}
	ours := func() []float64 {
		io := tr.numbers(m.Name, "etcd.network.tcp.io")
		return []float64{io["client receive"], io["client transmit"], io["member receive"], io["member transmit"]}
	}
	settled := func() []float64 {
		last := ours()
		waitFor(t, "counters that rest", func() bool {
			time.Sleep(time.Second) // ten collections
			before := last
			last = ours()
			return last[0] > 0 && last[0]-before[0] < 5000
		})
		return last
	}
	_, err = client.Put(t.Context(), "/warm", "up")
	require.NoError(t, err)
	before, theirs := settled(), etcdCounts(t, cluster, m, names...)
	value := make([]byte, 256<<10)
	for i := range value {
		value[i] = byte(rand.Uint32()) // nothing on the way could make it smaller
	}
	for i := range 100 {
		_, err := client.Put(t.Context(), fmt.Sprintf("/large/%d", i%10), string(value))
		require.NoError(t, err)
		_, err = client.Get(t.Context(), fmt.Sprintf("/large/%d", i%10))
		require.NoError(t, err)
	}
	after, now := settled(), etcdCounts(t, cluster, m, names...)
	for i, name := range names {
		counted := now[name] - theirs[name]
		seen := after[i] - before[i]
		t.Logf("%-48s etcd %11.0f, TCP %11.0f, ratio %.4f", name, counted, seen, seen/counted)
		if counted > 20<<20 { // the leader receives little from its peers, a follower sends little
			assert.InEpsilon(t, counted, seen, 0.01, name)
		}
	}
	require.Greater(t, now[names[0]]-theirs[names[0]], 20e6)
	require.Greater(t, now[names[1]]-theirs[names[1]], 20e6)
	assert.Greater(t, now[names[2]]-theirs[names[2]]+now[names[3]]-theirs[names[3]], 20e6)

	byAddress := tr.numbers(m.Name, "etcd.client.io")
	assert.InEpsilon(t, after[0], byAddress["127.0.0.1 receive"]+byAddress["other receive"], 0.01, "the clients together have sent what clients have")
	assert.InEpsilon(t, after[1], byAddress["127.0.0.1 transmit"]+byAddress["other transmit"], 0.01)
	sum := map[string]float64{}
	for key, n := range tr.numbers(m.Name, "etcd.network.peer.tcp.io") {
		sum[key[strings.LastIndex(key, " ")+1:]] += n
	}
	assert.LessOrEqual(t, sum["transmit"], after[3]*1.01, "what is known to be of a member is among what is of members")
	tr.mu.Lock()
	defer tr.mu.Unlock()
	assert.Equal(t, 4, areAsDeclared(t, tr.metrics, "(eBPF).", true))
}

var ssRTT = regexp.MustCompile(`\brtt:([0-9.]+)/`)

// socketStatistics are the smoothed round trips in ms that ss tells of etcd's
// connections to a port.
func socketStatistics(t *testing.T, port string) (rtts []float64) {
	t.Helper()
	out, err := exec.Command("ss", "-tinH", "state", "established", "dport", "=", ":"+port).CombinedOutput()
	require.NoError(t, err, string(out))
	for _, found := range ssRTT.FindAllStringSubmatch(string(out), -1) {
		rtt, err := strconv.ParseFloat(found[1], 64)
		require.NoError(t, err)
		rtts = append(rtts, rtt)
	}
	return rtts
}

func TestRoundTripsAndConnectionsAreThoseThatSsTells(t *testing.T) {
	if _, err := exec.LookPath("ss"); err != nil {
		harness.NotHere(t, "the program ss is missing")
	}
	cluster := harness.Start(t, "3.6", localcluster.Config{Size: 3})
	tr := follow(t, cluster, everythingOfNetworks(pids(cluster)...), "")
	tr.awaitTraced(t, pids(cluster)...)
	m, other := cluster.Members()[0], cluster.Members()[1]
	peer, err := url.Parse(other.PeerURL)
	require.NoError(t, err)
	id := fmt.Sprintf("%016x", other.ID)
	waitFor(t, "a round trip", func() bool { return tr.numbers(m.Name, "etcd.network.peer.tcp.rtt")[id] > 0 })
	// Both are of a moment, not of the same one: while connections are young, delayed acknowledgements move them from
	// 0.1 ms to 40.
	waitFor(t, "two that agree", func() bool {
		time.Sleep(200 * time.Millisecond) // two collections
		rtts := socketStatistics(t, peer.Port())
		require.NotEmpty(t, rtts)
		var sum float64
		for _, rtt := range rtts {
			sum += rtt
		}
		mean := sum / float64(len(rtts))
		told := tr.numbers(m.Name, "etcd.network.peer.tcp.rtt")[id] * 1000
		t.Logf("round trip to a peer: told %.3f ms, ss has a mean of %.3f ms of %d connections", told, mean, len(rtts))
		return told < 10*mean && told > mean/10
	})
	assert.Positive(t, tr.numbers(m.Name, "etcd.network.connection.count")["member"])
}

func TestEachConnectionIsCountedByHowItEnded(t *testing.T) {
	cluster := harness.Start(t, "3.6", localcluster.Config{})
	m := cluster.Members()[0]
	u, err := url.Parse(m.ClientURL)
	require.NoError(t, err)
	dial := func() *net.TCPConn {
		c, err := net.Dial("tcp", u.Host)
		require.NoError(t, err)
		return c.(*net.TCPConn)
	}
	before := []*net.TCPConn{dial(), dial()} // nobody follows yet
	defer func() { _ = before[1].Close() }()
	tr := follow(t, cluster, everythingOfNetworks(pids(cluster)...), "")
	tr.awaitTraced(t, pids(cluster)...)
	count := func(name, key string) float64 { return tr.numbers(m.Name, name)[key] }
	// Besides the two there are those of etcd's gateway, of the cluster's client and of ours, which may still come or go.
	var older float64
	waitFor(t, "those that were there before", func() bool {
		last := older
		older = count("etcd.network.connection.count", "client")
		time.Sleep(500 * time.Millisecond)
		return older >= 2 && older == last
	})
	opened, closed := count("etcd.network.connection.opened", "client"), count("etcd.network.connection.closed", "closed client")

	const each = 20
	for range each {
		require.NoError(t, dial().Close())
	}
	for range each {
		c := dial()
		_, err := c.Write([]byte("PRI"))
		require.NoError(t, err)
		require.NoError(t, c.SetLinger(0)) // its end is a reset
		require.NoError(t, c.Close())
	}
	open := dial()
	defer func() { _ = open.Close() }()
	require.NoError(t, before[0].Close())
	waitFor(t, "all connections by how they ended", func() bool {
		return count("etcd.network.connection.opened", "client") == opened+2*each+1 &&
			count("etcd.network.connection.closed", "closed client") == closed+each+1 &&
			count("etcd.network.connection.closed", "reset client") >= each &&
			count("etcd.network.connection.count", "client") == older
	})
}

func TestAPeerThatIsKilledIsToldAndToldAgainWhenItIsBack(t *testing.T) {
	withAndWithoutBTF(t, func(t *testing.T, _ bool) { proveKilledPeer(t) })
}

func proveKilledPeer(t *testing.T) {
	t.Helper()
	cluster := harness.Start(t, "3.6", localcluster.Config{Size: 3})
	tr := follow(t, cluster, everythingOfNetworks(), "") // also the one that is killed, and again
	tr.awaitTraced(t, pids(cluster)...)
	gone := cluster.Members()[1]
	id := fmt.Sprintf("%016x", gone.ID)
	told := func(event string) (by []string) {
		for _, r := range tr.Records() {
			if r.event == event && r.attrs["etcd.peer.id"] == id {
				by = append(by, r.resource["etcd.member.name"].(string))
			}
		}
		return by
	}
	require.NoError(t, gone.Kill())
	waitFor(t, "the peer to be missed", func() bool { return len(told("etcd.peer.unreachable")) == 2 })
	waitFor(t, "attempts that fail", func() bool {
		return tr.numbers(cluster.Members()[0].Name, "etcd.network.connection.failed")["dialed tcp member refused"] > 0
	})
	assert.Zero(t, tr.numbers(cluster.Members()[0].Name, "etcd.network.peer.connection.count")[id])
	require.NoError(t, gone.Restart(t.Context()))
	waitFor(t, "the peer to be back", func() bool { return len(told("etcd.peer.reachable")) == 2 })
	assert.ElementsMatch(t, []string{cluster.Members()[0].Name, cluster.Members()[2].Name}, told("etcd.peer.unreachable"))
	for _, r := range tr.Records() {
		if strings.HasPrefix(r.event, "etcd.peer.") {
			t.Log(r.resource["etcd.member.name"], r.event, r.body)
			assert.Equal(t, id, r.attrs["etcd.peer.id"], "the others have never been lost")
			assert.Equal(t, gone.Name, r.attrs["etcd.peer.name"])
		}
	}
}

func TestAClientOfThisHostIsNamedByItsProcess(t *testing.T) {
	cluster := harness.Start(t, "3.6", localcluster.Config{})
	m := cluster.Members()[0]
	earlier := call(t, cluster, m, nil) // its connection is older than the tracing
	ask := func(c *caller, key string) {
		_, err := pb.NewKVClient(c.ClientConn).Put(t.Context(), &pb.PutRequest{Key: []byte(key)})
		require.NoError(t, err)
	}
	ask(earlier, "/before")
	tr := follow(t, cluster, everythingOfNetworks(pids(cluster)...), "")
	tr.awaitTraced(t, pids(cluster)...)
	ask(earlier, "/earlier")
	ask(call(t, cluster, m, nil), "/later")
	for _, key := range []string{"/earlier", "/later"} {
		var found record
		waitFor(t, "the request for "+key, func() bool {
			for _, r := range tr.Records() {
				if r.attrs["etcd.key"] == key {
					found = r
					return true
				}
			}
			return false
		})
		assert.Equal(t, ourName(), found.attrs["etcd.client.process.name"], key)
		assert.EqualValues(t, os.Getpid(), found.attrs["etcd.client.process.pid"], key)
		assert.Contains(t, found.body, fmt.Sprintf("127.0.0.1 (%s[%d]) put %s", ourName(), os.Getpid(), key))
	}
}
