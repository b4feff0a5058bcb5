// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

// failure is how a connection did not come up.
type failure struct {
	from      from
	direction metadata.AttributeEtcdNetworkDirection
	handshake metadata.AttributeEtcdNetworkHandshake
	reason    string
}

const (
	dialed   = metadata.AttributeEtcdNetworkDirectionDialed
	accepted = metadata.AttributeEtcdNetworkDirectionAccepted
	onTCP    = metadata.AttributeEtcdNetworkHandshakeTCP
	onTLS    = metadata.AttributeEtcdNetworkHandshakeTLS
)

// The reasons besides those that logrecord tells.
const (
	notListening = "refused"    // nobody listens there
	noAnswer     = "no_answer"  // nothing came back, for as long as somebody waited
	brokenOff    = "broken_off" // closed, or silent for too long: also a probe that only opens a port
)

// newFailures are those that may be expected, from 0 on, so that the first one is an
// increase.
func newFailures(p *process) map[failure]uint64 {
	all := map[failure]uint64{}
	all[failure{fromMember, dialed, onTCP, notListening}] = 0
	all[failure{fromMember, dialed, onTCP, noAnswer}] = 0
	for from, urls := range map[from][]string{fromClient: p.ClientURLs, fromMember: p.PeerURLs} {
		all[failure{from, accepted, onTCP, noAnswer}] = 0
		if !slices.ContainsFunc(urls, func(url string) bool { return strings.HasPrefix(url, "https:") }) {
			continue
		}
		for _, reason := range []string{logrecord.NoCertificate, logrecord.BadCertificate, logrecord.NotTLS, logrecord.RefusedByClient, brokenOff} {
			all[failure{from, accepted, onTLS, reason}] = 0
		}
	}
	return all
}

// dialFailed is of an attempt of etcd to reach a member.
func dialFailed(err syscall.Errno) failure {
	f := failure{fromMember, dialed, onTCP, logrecord.OtherReason}
	switch err {
	case syscall.ECONNREFUSED, syscall.ECONNRESET:
		f.reason = notListening
	case 0, syscall.ETIMEDOUT: // 0: etcd has given up first
		f.reason = noAnswer
	}
	return f
}

// halfOpen is a connection that somebody has asked etcd's kernel for, who did not
// confirm its answer in time.
type halfOpen struct {
	of      *process
	from    from
	since   time.Time
	told    time.Time // last
	counted bool
}

const (
	// confirm is how long after the second answer a confirmation may still come: the
	// first one may have been lost on the way, and the second is sent after a second.
	confirm = 3 * time.Second
	// forget is after which time one is not told again that was told: the kernel answers
	// six times by default, the last two 16 s apart.
	forget = 20 * time.Second
	// maxHalfOpen is a bound, above which they are not counted; the kernel keeps 4096 of a
	// port by default.
	maxHalfOpen = 1 << 14
)

// notConfirmed takes one that was answered again: without BTF it may be told more than
// once.
func (t *tracer) notConfirmed(p *process, c *bpf.Connection, now time.Time) {
	n, at := t.network, endsOf(c.Network, c.Remote, c.Local)
	from := t.comesTo(p, c.Local.Port())
	if known := n.halfOpen[at]; known != nil {
		known.told = now
		return
	}
	if from == fromOther || len(n.halfOpen) >= maxHalfOpen {
		return
	}
	n.halfOpen[at] = &halfOpen{of: p, from: from, since: now, told: now}
}

// settleHalfOpen counts those that were not confirmed.
func (t *tracer) settleHalfOpen(now time.Time) {
	if t.network == nil {
		return
	}
	for at, h := range t.network.halfOpen {
		if now.Sub(h.since) >= confirm && !h.counted {
			h.counted = true
			h.of.neverUp[failure{h.from, accepted, onTCP, noAnswer}]++
		}
		if now.Sub(h.told) >= forget {
			delete(t.network.halfOpen, at)
		}
	}
}

// handshakeFailed takes a TLS handshake on a connection that etcd has accepted.
func (t *tracer) handshakeFailed(r *bpf.Record, now time.Time) {
	p := t.processes[int(r.PID)]
	if t.network == nil || p == nil || p.traffic == nil {
		return
	}
	from, reason := t.comesTo(p, r.Port), handshakeReason(r)
	if from == fromOther {
		return
	}
	p.neverUp[failure{from, accepted, onTLS, reason}]++
	if t.outbox == nil || reason == brokenOff || !r.Client.IsValid() || !t.outbox.hasRoomForRefused(now, t.MaxRecords) {
		return
	}
	at := time.Unix(0, int64(r.Time)+t.ahead)
	t.outbox.add(p, now, func(b *logrecord.Batch) {
		b.Refused(&logrecord.Refused{At: at, From: from, Client: r.Client, Process: t.caller(p, r.Client), Reason: reason})
	})
}

// handshakeReason is a word for the error of Go's TLS. The texts are those of Go 1.19
// to 1.26 and of etcd; what they do not say is not guessed.
func handshakeReason(r *bpf.Record) string {
	text := string(r.Message)
	switch r.Operation {
	case bpf.HandshakeRecord:
		return logrecord.NotTLS
	case bpf.HandshakeCertificate:
		return logrecord.BadCertificate
	case bpf.HandshakeNetwork:
		switch text {
		case "remote error":
			return logrecord.RefusedByClient
		case "local error": // etcd has sent an alert: why, is not told
			return logrecord.OtherReason
		default:
			return brokenOff
		}
	case bpf.HandshakeText:
		switch {
		case text == "EOF", text == "unexpected EOF":
			return brokenOff
		case strings.Contains(text, "didn't provide a certificate"):
			return logrecord.NoCertificate
		case strings.Contains(text, "certificate"), strings.Contains(text, "CommonName authentication failed"), strings.Contains(text, "does not match"):
			return logrecord.BadCertificate
		}
	}
	return logrecord.OtherReason
}
