// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// link is n1's view of n2, over two connections, on a clock of its own.
type link struct {
	t    *testing.T
	tr   *tracer
	p    *process
	now  time.Time
	conn [2]bpf.Connection // dialled, accepted
}

func newLink(t *testing.T) *link {
	l := &link{t: t, now: now}
	l.tr, l.p = newNetworking()
	l.tr.outbox = &outbox{
		format:   &logrecord.Format{Events: metadata.DefaultEventsConfig(), Body: true},
		resource: &resource.Builder{Attributes: metadata.DefaultResourceAttributesConfig()},
		queue:    make(chan plog.Logs, 10), open: map[*process]*openBatch{}, lost: func(string, int64) {},
	}
	l.p.executable, l.p.Name = &executable{}, "n1"
	l.conn[0] = bpf.Connection{Role: bpf.RoleDialed, Socket: 1, Local: at("10.0.0.1:50000"), Remote: at("10.0.0.2:2380")}
	l.conn[1] = bpf.Connection{Role: bpf.RoleAccepted, Socket: 2, Local: at("10.0.0.1:2380"), Remote: at("10.0.0.2:50000")}
	l.tr.network.lookup = func(each func(*bpf.Record)) error {
		for i := range l.conn {
			if l.tr.network.open[l.conn[i].Socket] != nil {
				each(toldOf(bpf.ConnectionFound, l.conn[i]))
			}
		}
		return nil
	}
	l.tell(0, bpf.ConnectionOpened)
	l.tell(1, bpf.ConnectionOpened)
	return l
}

func (l *link) tell(i int, operation uint8) { l.tr.connected(toldOf(operation, l.conn[i]), l.now) }

// close ends both connections.
func (l *link) close(err syscall.Errno) {
	for i := range l.conn {
		l.conn[i].Error = err
		l.tell(i, bpf.ConnectionClosed)
	}
}

// refused is an attempt to dial.
func (l *link) refused() {
	r := toldOf(bpf.ConnectionClosed, bpf.Connection{Role: bpf.RoleDialed, Socket: 9, Remote: at("10.0.0.2:2380"), Error: syscall.ECONNREFUSED})
	r.Connection.Established = false
	l.tr.connected(r, l.now)
}

// passes lets time pass, and gives what was told meanwhile.
func (l *link) passes(d time.Duration) (told []string) {
	for end := l.now.Add(d); l.now.Before(end); {
		l.now = l.now.Add(10 * time.Millisecond)
		l.tr.watchPeers(l.now)
	}
	l.tr.outbox.flush(l.now, true)
	for {
		select {
		case logs := <-l.tr.outbox.queue:
			for _, lr := range logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
				told = append(told, lr.Body().Str())
			}
		default:
			return told
		}
	}
}

const (
	silent = "member n2 at 10.0.0.2:2380 does not answer n1"
	closed = "no connection from n1 to member n2 at 10.0.0.2:2380: the last one was closed"
)

func TestAPeerThatDoesNotAnswerIsLostAndFoundAgainWhenSomethingComes(t *testing.T) {
	l := newLink(t)
	l.conn[1].Unanswered = bpf.Stalled
	l.tell(1, bpf.ConnectionStalled)
	assert.Equal(t, []string{silent}, l.passes(400*time.Millisecond))
	l.tell(1, bpf.ConnectionStalled)
	assert.Empty(t, l.passes(10*time.Second), "once")
	l.conn[0].Received += 100
	l.conn[1].Unanswered = 0
	assert.Equal(t, []string{"n1 is connected to member n2 at 10.0.0.2:2380 again after 11.3s"}, l.passes(2*time.Second))
}

func TestAPeerOfWhichSomethingComesMeanwhileIsNotLost(t *testing.T) {
	l := newLink(t)
	l.conn[1].Unanswered = bpf.Stalled
	l.tell(1, bpf.ConnectionStalled)
	assert.Empty(t, l.passes(100*time.Millisecond))
	l.conn[0].Received += 100
	assert.Empty(t, l.passes(10*time.Second))
}

func TestAQuietPeerThatHasAnsweredAfterAllIsNotLost(t *testing.T) {
	l := newLink(t)
	l.conn[1].Unanswered = bpf.Stalled
	l.tell(1, bpf.ConnectionStalled)
	l.conn[1].Unanswered = 0
	assert.Empty(t, l.passes(10*time.Second))
}

func TestAPeerIsLostWhenNoConnectionIsLeftAndNoneCanBeMade(t *testing.T) {
	l := newLink(t)
	l.close(0)
	l.refused()
	assert.Empty(t, l.passes(doubt-10*time.Millisecond))
	assert.Equal(t, []string{closed}, l.passes(askFirst))
	assert.EqualValues(t, 1, l.p.neverUp[dialFailed(syscall.ECONNREFUSED)])
	l.conn[0].Error = 0
	l.tell(0, bpf.ConnectionOpened)
	assert.Equal(t, []string{"n1 is connected to member n2 at 10.0.0.2:2380 again after 1.3s"}, l.passes(time.Second))
}

func TestAPeerThatIsConnectedAnewAtOnceIsNotLost(t *testing.T) {
	l := newLink(t)
	l.close(syscall.ECONNRESET)
	assert.Empty(t, l.passes(100*time.Millisecond))
	l.tell(0, bpf.ConnectionOpened)
	assert.Empty(t, l.passes(10*time.Second))
}

func TestAnEtcdThatEndsDoesNotAccuseItsPeers(t *testing.T) {
	l := newLink(t)
	l.close(0) // its own doing: it dials nobody any more
	assert.Empty(t, l.passes(idle-100*time.Millisecond))
}

func TestAMemberThatWasRemovedIsNotLost(t *testing.T) {
	l := newLink(t)
	l.close(0)
	l.refused()
	assert.True(t, l.tr.network.members.stale)
	assert.Empty(t, l.passes(100*time.Millisecond))
	l.tr.answeredMembers([]member{spread[0], spread[2]})
	assert.Empty(t, l.passes(10*time.Second))
}

func TestAPeerThatIsDownWhenTracingBeginsIsTold(t *testing.T) {
	l := newLink(t)
	l.close(0)
	delete(l.p.peers, 2)
	l.refused()
	assert.Equal(t, []string{"no connection from n1 to member n2 at 10.0.0.2:2380"}, l.passes(2*time.Second))
}

func TestWhoComesFromThePeersAddressIsNoProofThatItIsBack(t *testing.T) {
	l := newLink(t)
	l.close(0)
	l.refused()
	assert.Equal(t, []string{closed}, l.passes(2*time.Second))
	l.tell(1, bpf.ConnectionOpened) // somebody looks whether the port is open
	assert.Empty(t, l.passes(5*time.Second))
	l.conn[1].Received += 10
	assert.Len(t, l.passes(2*time.Second), 1)
}

func TestADialThatHangsIsNoConnection(t *testing.T) {
	l := newLink(t)
	r := toldOf(bpf.ConnectionStalled, bpf.Connection{Role: bpf.RoleDialed, Socket: 9, Remote: at("10.0.0.2:2380")})
	r.Connection.Established = false
	l.tr.connected(r, l.now)
	assert.EqualValues(t, 2, l.p.traffic[fromMember].opened)
	assert.Equal(t, 2, l.p.peers[2].connections)
}
