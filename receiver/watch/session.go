// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

// errReopen ends a session for a reason of ours; the next one starts at once.
var errReopen = errors.New("open again at the position")

// session is the life of one connection to one member.
type session struct {
	*follower
	conn    *etcdclient.Conn
	dialed  *grpc.ClientConn // for streams, with a token of its own
	streams context.Context  // of all streams; ends when the pipeline blocks for too long
	stop    context.CancelFunc
	opened  func(*etcdclient.Conn)
	pending *batch
	resumed resumed
	version string // of etcd, "" if not known
	stored  int64  // bytes that etcd's database uses, 0 if not known
	// answers: the stream has answered a request for progress; unanswered counts those after the last response.
	answers    bool
	unanswered int
	noMore     bool // nothing is offered any more: see offer
}

// session delivers from one member until its stream, or ctx, ends. opened is
// called once etcd has accepted the watch.
func (f *follower) session(ctx context.Context, opened func(*etcdclient.Conn)) (err error) {
	conn, err := f.connect(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if f.stay = nil; errors.Is(err, errReopen) {
			f.stay = conn // nothing is wrong with it
		}
	}()
	s := &session{follower: f, conn: conn, opened: opened, pending: f.newBatch()}
	s.streams, s.stop = context.WithCancel(ctx)
	defer s.stop()
	dialed, end, err := conn.Dial(s.streams)
	if err != nil {
		return f.explain(err, conn)
	}
	s.dialed = dialed
	defer end()
	defer func() { s.flushLast(ctx) }()
	for {
		if f.keys != nil {
			if err := s.readKeys(ctx); err != nil {
				return err
			}
		}
		behind, err := s.live(ctx)
		if err != nil {
			return err
		}
		if err := s.catchUp(ctx, behind); err != nil {
			return err
		}
	}
}

// live follows the tip, until the stream ends or is so far behind that segments
// are better.
func (s *session) live(ctx context.Context) (*backlog, error) {
	s.resumed = resumed{want: s.recognisable()}
	stream, err := openStream(s.streams, s.dialed, s.request(s.begin()), s.cutting, &s.held)
	if err != nil {
		return nil, s.ended(ctx, err)
	}
	defer stream.end()
	silent, permission := time.NewTicker(s.Heartbeat), time.NewTicker(s.PermissionCheck)
	defer silent.Stop()
	defer permission.Stop()
	var burst burst
	for {
		select {
		case r := <-stream.responses:
			silent.Reset(s.Heartbeat)
			err := s.handle(ctx, stream, r, &burst)
			s.release(r)
			if err != nil {
				return nil, err
			}
			if behind := s.behind(&burst); behind != nil {
				return behind, s.flush(ctx)
			}
		case <-s.pending.due():
			if err := s.flushDue(ctx); err != nil {
				return nil, err
			}
		case <-silent.C:
			if err := s.ping(ctx, stream); err != nil {
				return nil, err
			}
		case <-permission.C:
			if err := s.mayRead(ctx); err != nil {
				return nil, err
			}
		case <-s.streams.Done():
			return nil, s.ended(ctx, context.Cause(s.streams))
		}
	}
}

// handle takes one response in.
func (s *session) handle(ctx context.Context, stream *stream, r *response, burst *burst) error {
	if r.err != nil {
		return s.ended(ctx, r.err)
	}
	if err := s.check(r); err != nil {
		return s.explain(err, s.conn)
	}
	s.lag.tip(r.header.revision)
	s.unanswered = 0
	switch {
	case r.canceled:
		// What was read before belongs before a gap.
		if err := s.flush(ctx); err != nil {
			return err
		}
		return s.canceled(ctx, r)
	case r.created:
		if err := s.created(ctx, r); err != nil {
			return err
		}
		// Only a member that also answers counts as opened: the back-off must hold against one that does not.
		if err := s.ping(ctx, stream); err != nil {
			return err
		}
		s.warnOfVersion()
		s.Cluster.Discover(ctx, s.conn)
		s.opened(s.conn)
		return nil
	case r.events == 0:
		return s.progress(ctx, r.header.revision)
	}
	burst.add(r)
	if s.tooDear(r) {
		return errReopen
	}
	return s.take(ctx, r, burst, noLimit)
}

func (f *follower) connect(ctx context.Context) (*etcdclient.Conn, error) {
	if f.stay != nil {
		return f.stay, nil
	}
	if _, err := f.Cluster.Resolve(ctx); err != nil {
		return nil, fmt.Errorf("find etcd: %w", err)
	}
	conn, err := f.Cluster.Next()
	if err != nil {
		return nil, fmt.Errorf("find etcd: %w", err)
	}
	return conn, nil
}

func (f *follower) explain(err error, conn *etcdclient.Conn) error {
	return fmt.Errorf("watch: %w", etcdclient.Explain(err, conn.Endpoint(), f.Cluster.Username()))
}

// ended says why a stream ended: ctx, the pipeline that blocked for too long, or
// etcd.
func (s *session) ended(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case s.streams.Err() != nil, s.tooLarge(err):
		return errReopen
	}
	return s.explain(err, s.conn)
}

func (f *follower) request(from int64) *pb.WatchCreateRequest {
	key, end := keyRange(f.prefix)
	return &pb.WatchCreateRequest{Key: key, RangeEnd: end, StartRevision: from, PrevKv: f.PrevKV}
}

// keyRange is the range of keys that start with prefix.
func keyRange(prefix string) (key, end []byte) {
	if prefix == "" {
		return []byte{0}, []byte{0} // etcd's way to say all keys
	}
	return []byte(prefix), []byte(clientv3.GetPrefixRangeEnd(prefix))
}

func (f *follower) release(r *response) { release(r, &f.held) }

// check refuses what no etcd sends, so that nothing below meets it.
func (s *session) check(r *response) error {
	switch {
	case !r.header.present:
		return errors.New("a response has no header")
	case (r.events > 0 || r.compactRevision != 0) && s.clusterID == 0:
		return errors.New("events came before the watch was created")
	case r.header.revision < 0 || r.compactRevision < 0:
		return errors.New("a response has a negative revision")
	}
	return nil
}

// created: the first stream fixes the position at the present; later ones check
// that it is still the same history that goes on.
func (s *session) created(ctx context.Context, r *response) error {
	switch {
	case s.clusterID != 0 && s.clusterID != r.header.clusterID:
		return s.otherCluster(ctx, r.header.clusterID, r.header.revision)
	case s.clusterID != 0 && s.next > r.header.revision+1 && !s.planned:
		return s.ahead(ctx, r.header.revision)
	}
	s.identify(r.header.clusterID)
	switch {
	case s.lost:
		return s.startOver(ctx, logrecord.Gap{To: r.header.revision, Reason: metadata.AttributeEtcdGapReasonCheckpointLost}, r.header.clusterID, r.header.revision)
	case s.next == 0:
		s.begins(ctx, r.header.revision+1)
	}
	return nil
}

// begins fixes the position.
func (s *session) begins(ctx context.Context, next int64) {
	s.next, s.pending.through = next, next-1
	s.moved(ctx)
}

func (f *follower) identify(clusterID uint64) {
	f.seen[clusterID] = true
	if f.clusterID != clusterID {
		f.clusterID, f.resource = clusterID, f.Resource.Cluster(clusterID)
		f.coverage.add(clusterID, tally{}) // a series begins at 0
	}
}
