// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"time"

	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
)

// peer is another member as one of ours sees it. etcd keeps several connections to
// each, in both directions, and opens those anew that end. It is lost when none is
// left, or when what was sent on one is not answered and nothing comes on the others:
// a network that is cut closes no connection.
type peer struct {
	member
	connections                   int
	received, sent, retransmitted uint64
	suspected                     time.Time // zero: all is well
	why                           end
	heard                         uint64 // received when it was looked at first
	looked                        time.Time
	lost                          time.Time // zero: it is not
}

// peer is what a process has of a member; nil of nil.
func (p *process) peer(m *member) *peer {
	if m == nil {
		return nil
	}
	of := p.peers[m.id]
	if of == nil {
		of = &peer{}
		p.peers[m.id] = of
	}
	of.member = *m
	return of
}

func (p *peer) moved(received, sent, again uint64) {
	p.received += received
	p.sent += sent
	p.retransmitted += again
}

// suspect has a peer looked at more closely.
func (p *peer) suspect(now time.Time, why end) {
	if p.suspected.IsZero() {
		p.suspected, p.why, p.looked = now, why, time.Time{}
	}
}

// reached: a connection was opened, so it is there.
func (t *tracer) reached(p *process, peer *peer, now time.Time) {
	peer.suspected = time.Time{}
	if peer.lost.IsZero() {
		return
	}
	t.tellPeer(p, peer, now, func(b *logrecord.Batch, l *logrecord.PeerLink) { b.PeerReachable(l, now.Sub(peer.lost)) })
	peer.lost = time.Time{}
}

const (
	// doubt is how long a peer is listened to before it is told as lost. The leader
	// sends every 100 ms by default; a member that is restarted, or a connection that is
	// opened anew, is not lost.
	doubt = 300 * time.Millisecond
	// hope is how often a lost one is listened to.
	hope = time.Second
)

// watchPeers settles what was suspected, and finds those that are back.
func (t *tracer) watchPeers(now time.Time) {
	if t.network == nil {
		return
	}
	for _, p := range t.processes {
		for _, peer := range p.peers {
			switch {
			case !peer.lost.IsZero():
				if peer.connections > 0 && now.Sub(peer.looked) >= hope && t.hears(peer, now) {
					t.reached(p, peer, now)
				}
			case peer.suspected.IsZero():
			case peer.looked.IsZero():
				t.look(now)
				peer.heard, peer.looked = peer.received, now
			case now.Sub(peer.suspected) >= doubt:
				if t.hears(peer, now) && peer.connections > 0 {
					peer.suspected = time.Time{}
				} else {
					t.losePeer(p, peer, now)
				}
			}
		}
	}
}

// hears tells whether something came from a peer since it was last looked at.
func (t *tracer) hears(peer *peer, now time.Time) bool {
	t.look(now)
	before := peer.heard
	peer.heard, peer.looked = peer.received, now
	return peer.received > before
}

func (t *tracer) losePeer(p *process, peer *peer, now time.Time) {
	peer.lost = peer.suspected
	t.tellPeer(p, peer, now, func(b *logrecord.Batch, l *logrecord.PeerLink) { b.PeerUnreachable(l, peer.why, peer.lost) })
}

func (t *tracer) tellPeer(p *process, peer *peer, now time.Time, tell func(*logrecord.Batch, *logrecord.PeerLink)) {
	if t.outbox == nil {
		return
	}
	l := &logrecord.PeerLink{ID: peer.id, Name: peer.name}
	if len(peer.peers) > 0 {
		l.Address = peer.peers[0]
	}
	t.outbox.add(p, now, func(b *logrecord.Batch) { tell(b, l) })
}
