// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/discovery"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// happened are the failures that were counted.
func (p *process) happened() map[failure]uint64 {
	all := maps.Clone(p.neverUp)
	maps.DeleteFunc(all, func(_ failure, n uint64) bool { return n == 0 })
	return all
}

func TestAHalfOpenConnectionIsCountedOnceIfItIsNotConfirmed(t *testing.T) {
	tr, p := newNetworking()
	told := func(local, remote string, after time.Duration) {
		tr.connected(toldOf(bpf.ConnectionHalfOpen, bpf.Connection{Role: bpf.RoleAccepted, Local: at(local), Remote: at(remote)}), now.Add(after))
	}
	told("10.0.0.1:2379", "10.0.0.9:50000", 0)
	told("10.0.0.1:2379", "10.0.0.9:50000", time.Second) // by a kernel that says 1 at the second time
	told("10.0.0.1:2379", "10.0.0.9:50001", 0)
	told("10.0.0.1:2380", "10.0.0.2:50000", 0)
	told("10.0.0.1:2381", "10.0.0.9:50000", 0) // a port of its own for metrics
	tr.settleHalfOpen(now.Add(confirm - 1))
	assert.Empty(t, p.happened())
	tr.connected(toldOf(bpf.ConnectionOpened, bpf.Connection{Role: bpf.RoleAccepted, Socket: 3, Local: at("10.0.0.1:2379"), Remote: at("10.0.0.9:50001")}), now.Add(confirm-1))
	again := []time.Duration{3 * time.Second, 7 * time.Second, 15 * time.Second, 31 * time.Second} // as the kernel does
	for after := confirm; after <= again[3]+forget; after += time.Second {
		tr.settleHalfOpen(now.Add(after))
		if slices.Contains(again, after) {
			told("10.0.0.1:2379", "10.0.0.9:50000", after)
		}
	}
	assert.Equal(t, map[failure]uint64{{fromClient, accepted, onTCP, noAnswer}: 1, {fromMember, accepted, onTCP, noAnswer}: 1}, p.happened())
	assert.Empty(t, tr.network.halfOpen)
}

// The texts are those of Go's crypto/tls and of etcd's transport.
func TestTheReasonOfAHandshakeIsAWord(t *testing.T) {
	for _, tc := range []struct {
		is         uint8
		text, want string
	}{
		{bpf.HandshakeText, "tls: client didn't provide a certificate", logrecord.NoCertificate},
		{bpf.HandshakeText, "tls: failed to verify client certificate: x509: certificate signed", logrecord.BadCertificate}, // Go 1.19
		{bpf.HandshakeText, "client certificate authentication failed", logrecord.BadCertificate},
		{bpf.HandshakeText, "CommonName authentication failed", logrecord.BadCertificate},
		{bpf.HandshakeText, "tls: \"2001:0db8:1111:2222:3333:4444:5555:6666\" does not match ", logrecord.BadCertificate}, // any of DNSNames
		{bpf.HandshakeCertificate, "", logrecord.BadCertificate},
		{bpf.HandshakeRecord, "", logrecord.NotTLS},
		{bpf.HandshakeNetwork, "remote error", logrecord.RefusedByClient},
		{bpf.HandshakeNetwork, "local error", logrecord.OtherReason}, // OpenSSL's clients refuse etcd in plain text under TLS 1.3
		{bpf.HandshakeNetwork, "read", brokenOff},
		{bpf.HandshakeText, "EOF", brokenOff},
		{bpf.HandshakeText, "tls: no cipher suite supported by both client and server", logrecord.OtherReason},
		{0, "", logrecord.OtherReason},
	} {
		assert.Equal(t, tc.want, handshakeReason(&bpf.Record{Operation: tc.is, Message: []byte(tc.text)}), tc.text)
	}
}

func TestRefusedConnectionsBecomeRecordsUpToTheLimitAndAllCount(t *testing.T) {
	tr, p := newNetworking()
	lost := map[string]int64{}
	tr.MaxRecords = 3
	tr.outbox = &outbox{
		format:   &logrecord.Format{Events: metadata.DefaultEventsConfig(), Body: true},
		resource: &resource.Builder{Attributes: metadata.DefaultResourceAttributesConfig()},
		queue:    make(chan plog.Logs, 10), open: map[*process]*openBatch{}, lost: func(stage string, n int64) { lost[stage] += n },
	}
	p.executable = &executable{}
	failed := func(port uint16, is uint8) {
		tr.handshakeFailed(&bpf.Record{Kind: bpf.KindHandshake, PID: 7, Operation: is, Port: port, Client: at("10.0.0.9:50000")}, now)
	}
	for range 5 {
		failed(2379, bpf.HandshakeRecord)
	}
	for range 4 {
		failed(2379, bpf.HandshakeNetwork) // with no more to say: a probe that opens the port
	}
	failed(2380, bpf.HandshakeCertificate)
	failed(2381, bpf.HandshakeCertificate)
	failed(0, bpf.HandshakeCertificate) // on a Unix socket
	assert.Equal(t, map[failure]uint64{
		{fromClient, accepted, onTLS, logrecord.NotTLS}: 5, {fromClient, accepted, onTLS, brokenOff}: 4, {fromMember, accepted, onTLS, logrecord.BadCertificate}: 1,
	}, p.happened())
	assert.Equal(t, map[string]int64{LostRate: 3}, lost)
	assert.Equal(t, 3, tr.outbox.open[p].Len())
}

func TestFailuresBeginAtZeroWhereTheyMayCome(t *testing.T) {
	count := func(clients, members string) (n int) {
		return len(newFailures(&process{Process: discovery.Process{ClientURLs: []string{clients}, PeerURLs: []string{members}}}))
	}
	assert.Equal(t, 4, count("http://10.0.0.1:2379", "http://10.0.0.1:2380"))
	assert.Equal(t, 4+5, count("https://10.0.0.1:2379", "http://10.0.0.1:2380"))
	assert.Equal(t, 4+5+5, count("https://10.0.0.1:2379", "https://10.0.0.1:2380"))
}
