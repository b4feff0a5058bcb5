// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
	"github.com/etcdreceiver/etcdreceiver/internal/localcluster"
	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

// stranger connects to one port of an etcd with TLS, in ways of which most are refused.
type stranger struct {
	t     *testing.T
	at    string
	good  *tls.Config
	alien tls.Certificate // of another authority

	mu   sync.Mutex
	from []int // its ports
}

func newStranger(t *testing.T, address string, good *tls.Config) *stranger {
	t.Helper()
	foreign, err := localcluster.NewTLS(t.TempDir())
	require.NoError(t, err)
	good.ServerName = "localhost"
	return &stranger{t: t, at: address, good: good, alien: foreign.Config().Certificates[0]}
}

func (s *stranger) dial() net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.at)
	require.NoError(s.t, err)
	require.NoError(s.t, c.SetDeadline(time.Now().Add(patience)))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.from = append(s.from, c.LocalAddr().(*net.TCPAddr).Port)
	return c
}

// agrees makes a connection over TLS, and waits until etcd has ended it. A client of
// TLS 1.3 is ready before etcd has seen its certificate.
func (s *stranger) agrees(how *tls.Config) {
	c := tls.Client(s.dial(), how)
	err := c.Handshake()
	if err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	require.Error(s.t, err)
	require.NotErrorIs(s.t, err, os.ErrDeadlineExceeded)
	require.NoError(s.t, c.NetConn().Close())
}

func (s *stranger) showsNoCertificate(version uint16) {
	how := s.good.Clone()
	how.Certificates, how.MinVersion, how.MaxVersion = nil, version, version
	s.agrees(how)
}

func (s *stranger) shows(certificate *tls.Certificate, version uint16) {
	how := s.good.Clone()
	how.MinVersion, how.MaxVersion = version, version
	how.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	s.agrees(how)
}

func (s *stranger) refusesEtcd(version uint16) {
	how := s.good.Clone()
	how.RootCAs, how.MinVersion, how.MaxVersion = x509.NewCertPool(), version, version
	c := tls.Client(s.dial(), how)
	require.Error(s.t, c.Handshake())
	_, err := io.Copy(io.Discard, c.NetConn()) // until etcd has read why: a reset, or the end
	require.NotErrorIs(s.t, err, os.ErrDeadlineExceeded)
	require.NoError(s.t, c.NetConn().Close())
}

func (s *stranger) speaksPlainly(string) {
	c := s.dial()
	_, err := io.WriteString(c, "GET /health HTTP/1.1\r\nHost: etcd\r\n\r\n")
	require.NoError(s.t, err)
	_, err = io.Copy(io.Discard, c) // Go answers in plain text
	require.NotErrorIs(s.t, err, os.ErrDeadlineExceeded)
	require.NoError(s.t, c.Close())
}

func (s *stranger) onlyOpens() { require.NoError(s.t, s.dial().Close()) }

func (s *stranger) isWelcome(path string) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: s.good}}
	answer, err := client.Get("https://" + s.at + path)
	require.NoError(s.t, err)
	require.NoError(s.t, answer.Body.Close())
	assert.Equal(s.t, http.StatusOK, answer.StatusCode)
}

// counted are the failures of which there are any.
func (tr *tracing) counted(member string) map[string]float64 {
	all := tr.numbers(member, "etcd.network.connection.failed")
	maps.DeleteFunc(all, func(_ string, n float64) bool { return n == 0 })
	return all
}

func TestEachHandshakeThatFailsIsCountedOnceByWhoseItIsAndWhy(t *testing.T) {
	for _, build := range builds {
		t.Run(build, func(t *testing.T) { proveRefusals(t, build) })
	}
	t.Run("3.4 with its other logger", func(t *testing.T) { proveRefusals(t, "3.4", "--logger=capnslog") })
}

func proveRefusals(t *testing.T, build string, more ...string) {
	harness.NeedRoot(t)
	files, err := localcluster.NewTLS(t.TempDir())
	require.NoError(t, err)
	// An address of loopback that no other test has, as the ports of a cluster are not known before.
	members := fmt.Sprintf("127.77.%d.%d:2380", os.Getpid()/250%250, os.Getpid()%250+1)
	cluster := harness.Start(t, build, localcluster.Config{TLS: true, ExtraArgs: append(more,
		"--listen-peer-urls=https://"+members, "--peer-client-cert-auth", "--peer-trusted-ca-file="+files.CAFile,
		"--peer-cert-file="+files.ServerCertFile, "--peer-key-file="+files.ServerKeyFile)})
	m := cluster.Members()[0]
	tr := follow(t, cluster, everythingOfNetworks(pids(cluster)...), "")
	tr.awaitTraced(t, m.PID())
	said := tr.Log.FilterMessage("requests of etcd are traced").All()
	require.Len(t, said, 1)
	assert.Empty(t, said[0].ContextMap()["cannot_be_told"])
	u, err := url.Parse(m.ClientURL)
	require.NoError(t, err)
	clients, others := newStranger(t, u.Host, cluster.TLS().Config()), newStranger(t, members, files.Config())

	want := map[string]float64{}
	for i, s := range []*stranger{clients, others} {
		whose, times := []string{"client", "member"}[i], 3-i
		path := []string{"/health", "/version"}[i]
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for range times {
				s.showsNoCertificate(version)
				s.isWelcome(path)
				s.shows(&s.alien, version)
				s.refusesEtcd(version)
				s.speaksPlainly(path)
				s.onlyOpens()
			}
		}
		for _, why := range []string{"no_certificate", "bad_certificate", "refused_by_client", "not_tls", "broken_off"} {
			want["accepted tls "+whose+" "+why] = float64(2 * times)
		}
	}
	// Members must come from where their certificate says.
	elsewhere := []net.IP{net.IPv4(127, 0, 0, 9)}
	for _, names := range [][]string{nil, {"elsewhere.invalid"}} {
		certificate, err := files.Certificate(names, elsewhere)
		require.NoError(t, err)
		others.shows(&certificate, tls.VersionTLS13)
		want["accepted tls member bad_certificate"]++
	}
	waitFor(t, "all that was refused", func() bool {
		return assert.ObjectsAreEqual(want, tr.counted(m.Name)) || total(tr.counted(m.Name)) > total(want)
	})
	for range 10 {
		clients.isWelcome("/health")
		others.isWelcome("/version")
	}
	// One more is told after all others.
	clients.speaksPlainly("")
	want["accepted tls client not_tls"]++
	waitFor(t, "the last one", func() bool { return total(tr.counted(m.Name)) >= total(want) })
	assert.Equal(t, want, tr.counted(m.Name))
	proveRefusalRecords(t, tr, want, clients, others)
}

// proveRefusalRecords holds the log records against what was counted.
func proveRefusalRecords(t *testing.T, tr *tracing, want map[string]float64, clients, others *stranger) {
	t.Helper()
	told := func() map[string]float64 {
		all := map[string]float64{}
		for _, r := range tr.Records() {
			if r.event == "etcd.connection.refused" {
				all["accepted tls "+r.text("etcd.network.peer_type")+" "+r.text("error.type")]++
			}
		}
		return all
	}
	maps.DeleteFunc(want, func(key string, _ float64) bool { return strings.HasSuffix(key, "broken_off") })
	waitFor(t, "all records", func() bool { return total(told()) >= total(want) })
	assert.Equal(t, want, told())
	named := 0
	for _, r := range tr.Records() {
		if r.event != "etcd.connection.refused" {
			continue
		}
		by := clients
		if r.text("etcd.network.peer_type") == "member" {
			by = others
		} else if pid := r.attrs["etcd.client.process.pid"]; pid != nil { // who knows that he is refused may go before etcd says so
			assert.EqualValues(t, os.Getpid(), pid, r.body)
			named++
		}
		assert.Equal(t, "127.0.0.1", r.text("client.address"))
		assert.True(t, slices.Contains(by.from, r.port()), r.body)
	}
	assert.Positive(t, named)
}

func total(of map[string]float64) (n float64) {
	for _, v := range of {
		n += v
	}
	return n
}

// proveHalfOpen asks for a connection and takes no answer.
func proveHalfOpen(t *testing.T, tr *tracing, m *localcluster.Member) {
	t.Helper()
	u, err := url.Parse(m.ClientURL)
	require.NoError(t, err)
	nothing := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}} // how much of a packet is taken: 0
	deaf := net.Dialer{Timeout: 3500 * time.Millisecond, Control: func(_, _ string, c syscall.RawConn) (err error) {
		program := unix.SockFprog{Len: uint16(len(nothing)), Filter: &nothing[0]}
		return errors.Join(c.Control(func(fd uintptr) {
			err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program)
		}), err)
	}}
	_, err = deaf.DialContext(t.Context(), "tcp", u.Host)
	var late net.Error
	require.ErrorAs(t, err, &late)
	require.True(t, late.Timeout(), "%v", err)
	const unanswered = "accepted tcp client no_answer"
	waitFor(t, "what is half open", func() bool { return tr.counted(m.Name)[unanswered] > 0 })
	assert.EqualValues(t, 1, tr.counted(m.Name)[unanswered])
}

// The member's answers to one of our addresses go to a network card that nobody has.
func TestAConnectionThatIsNotConfirmedIsOneFailedHandshake(t *testing.T) {
	withAndWithoutBTF(t, func(t *testing.T, _ bool) { proveNotConfirmed(t) })
}

func proveNotConfirmed(t *testing.T) {
	t.Helper()
	s := startSpread(t)
	m := s.members[0]
	e, err := etcdclient.ParseEndpoint(m.url())
	require.NoError(t, err)
	tr := (&tracing{}).followAt(t, etcdclient.NewCluster(etcdclient.Settings{Timeout: 5 * time.Second, Endpoints: []etcdclient.Endpoint{e}}, false), everythingOfNetworks(m.pid))
	tr.awaitTraced(t, m.pid)
	at := netip.MustParseAddr(m.address)
	bytes := at.As4()
	bytes[3] = 2
	ours := netip.AddrFrom4(bytes).String()
	s.ip("addr", "add", ours+"/24", "dev", s.bridge)
	lose := func() {
		s.ip("-n", m.link, "neigh", "replace", ours, "lladdr", "02:00:00:00:00:99", "dev", "eth0", "nud", "permanent")
	}
	dial := func(port string) error {
		c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ours)}, Timeout: 9 * time.Second}).Dial("tcp", net.JoinHostPort(m.address, port))
		if err == nil {
			err = c.Close()
		}
		return err
	}
	asked := func() int {
		out, err := exec.Command("ip", "netns", "exec", m.link, "ss", "-Htn", "state", "syn-recv").CombinedOutput()
		require.NoError(t, err, string(out))
		return strings.Count(string(out), "\n")
	}

	const each = 3
	lose()
	done := make(chan error, 2*each)
	go func() { done <- dial("2379") }()
	waitFor(t, "an answer that is lost", func() bool { return asked() == 1 })
	s.ip("-n", m.link, "neigh", "del", ours, "dev", "eth0")
	require.NoError(t, <-done, "the second answer arrives")

	lose()
	for _, port := range []string{"2379", "2380"} {
		for range each {
			go func() { done <- dial(port) }()
		}
	}
	waitFor(t, "those that are not confirmed", func() bool { return total(tr.counted(m.name)) >= 2*each })
	for range 2 * each {
		require.Error(t, <-done) // each has asked four times
	}
	// One more is told after all others.
	go func() { done <- dial("2379") }()
	waitFor(t, "the last one", func() bool { return total(tr.counted(m.name)) > 2*each })
	require.Error(t, <-done)
	assert.Equal(t, map[string]float64{"accepted tcp client no_answer": each + 1, "accepted tcp member no_answer": each}, tr.counted(m.name))
}
