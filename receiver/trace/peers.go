// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"time"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
)

// peer is another member as one of ours sees it. etcd keeps several connections to
// each, in both directions, and dials again at once when they end. It is lost when
// none is left and dialling fails, or when what was sent on one is not answered and
// nothing comes on any: a network that is cut closes no connection.
type peer struct {
	member
	connections                   int
	received, sent, retransmitted uint64
	answered                      uint64 // times that it has, after what was sent was sent again in vain

	suspected time.Time // zero: all is well
	why       end
	attempts  int       // to dial that failed since then
	heard     uint64    // received and answered when it was last looked at
	looked    time.Time // zero: not since then
	lost      time.Time // since when; zero: it is not
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
	if p.suspected.IsZero() && p.lost.IsZero() {
		p.suspected, p.why, p.attempts, p.looked = now, why, 0, time.Time{}
	}
}

// failed: it was dialled in vain.
func (p *peer) failed(now time.Time, why end) {
	if p.connections == 0 {
		p.suspect(now, why)
	}
	p.attempts++
}

const (
	// doubt is how long a peer is listened to before it is told as lost. The leader
	// sends every 100 ms by default.
	doubt = 300 * time.Millisecond
	// askFirst is how long is waited for the member list: one that was removed is not
	// lost.
	askFirst = time.Second
	// idle is after which time a peer is lost that nobody dials. An etcd that is about
	// to end does not.
	idle = 3 * time.Second
	// hope is how often a lost one is listened to.
	hope = time.Second
)

// watchPeers settles what was suspected, and finds those that are back.
func (t *tracer) watchPeers(now time.Time) {
	if t.network == nil {
		return
	}
	fresh := false
	look := func() { // once for all of them: it goes through all open files of the host
		if !fresh {
			t.glance(now)
			fresh = true
		}
	}
	for _, p := range t.processes {
		for _, peer := range p.peers {
			switch {
			case !peer.lost.IsZero():
				if peer.connections > 0 && now.Sub(peer.looked) >= hope {
					look()
					if peer.hears(now) {
						t.reached(p, peer, now)
					}
				}
			case peer.suspected.IsZero():
			case peer.connections == 0:
				t.settleWithout(p, peer, now)
			case peer.looked.IsZero():
				look()
				peer.hears(now)
			case now.Sub(peer.looked) >= doubt:
				look()
				t.settle(p, peer, now)
			}
		}
	}
}

// settleWithout judges one to which no connection is left.
func (t *tracer) settleWithout(p *process, peer *peer, now time.Time) {
	since := now.Sub(peer.suspected)
	listed := t.network.members.told.After(peer.suspected) || since >= askFirst
	if peer.attempts > 0 && listed && since >= doubt || since >= idle {
		t.losePeer(p, peer, now)
	}
}

// settle judges one of which a connection had stalled.
func (t *tracer) settle(p *process, peer *peer, now time.Time) {
	if peer.hears(now) || !t.stalled(peer) {
		peer.suspected = time.Time{}
		return
	}
	t.losePeer(p, peer, now)
}

// stalled tells whether something sent to a peer is still not answered.
func (t *tracer) stalled(peer *peer) bool {
	for _, c := range t.network.open {
		if c.peer == peer && c.Unanswered >= bpf.Stalled {
			return true
		}
	}
	return false
}

// hears tells whether something came from a peer since it was last asked, if only an
// answer of TCP.
func (p *peer) hears(now time.Time) bool {
	before := p.heard
	p.heard, p.looked = p.received+p.answered, now
	return p.heard > before
}

// reached: it was dialled and has answered, or something came from it.
func (t *tracer) reached(p *process, peer *peer, now time.Time) {
	peer.suspected = time.Time{}
	if peer.lost.IsZero() {
		return
	}
	after := now.Sub(peer.lost)
	peer.lost = time.Time{}
	t.tellPeer(p, peer, now, func(b *logrecord.Batch, l *logrecord.PeerLink) { b.PeerReachable(l, after) })
}

func (t *tracer) losePeer(p *process, peer *peer, now time.Time) {
	since, why := peer.suspected, peer.why
	peer.lost, peer.suspected = since, time.Time{}
	peer.hears(now)
	t.tellPeer(p, peer, now, func(b *logrecord.Batch, l *logrecord.PeerLink) { b.PeerUnreachable(l, why, since) })
}

func (t *tracer) tellPeer(p *process, peer *peer, now time.Time, tell func(*logrecord.Batch, *logrecord.PeerLink)) {
	if t.outbox == nil {
		return
	}
	l := &logrecord.PeerLink{From: p.Name, ID: peer.id, Name: peer.name}
	if len(peer.peers) > 0 {
		l.Address = peer.peers[0]
	}
	t.outbox.add(p, now, func(b *logrecord.Batch) { tell(b, l) })
}
