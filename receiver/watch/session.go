// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// errReopen ends a session whose position was corrected; the next one starts at
// once.
var errReopen = errors.New("open again at the corrected position")

// follower is the state of one prefix that outlives its streams.
type follower struct {
	*Watcher
	prefix    string
	next      int64 // the position: first revision not delivered; 0 before the first stream
	clusterID uint64
	resource  pcommon.Resource
	// trustsProgress is whether the member's version does. See progress.
	trustsProgress bool
}

// session is the life of one stream: it delivers what arrives until the stream
// or ctx ends. opened is called once etcd has accepted the watch.
func (f *follower) session(ctx context.Context, opened func(*etcdclient.Conn, int64)) error {
	conn, err := f.connect(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, end, err := conn.Watch(ctx)
	if err != nil {
		return f.explain(err, conn)
	}
	responses, ended := make(chan response), make(chan struct{})
	defer func() {
		cancel()
		end()
		<-ended
	}()
	go read(ctx, stream, responses, ended)
	// An EOF says only that the stream has ended; the first response says why.
	if err := stream.Send(f.request()); err != nil && !errors.Is(err, io.EOF) {
		return f.explain(err, conn)
	}
	pending := f.newBatch()
	defer func() { f.flushLast(ctx, pending) }()
	silent := time.NewTicker(f.Heartbeat)
	defer silent.Stop()
	for {
		select {
		case r := <-responses:
			silent.Reset(f.Heartbeat)
			if r.err != nil {
				return f.explain(r.err, conn)
			}
			if err := check(r.WatchResponse, f.clusterID != 0); err != nil {
				return f.explain(err, conn)
			}
			switch {
			case r.Canceled:
				// What was read before belongs before a gap.
				if err := f.flush(ctx, pending); err != nil {
					return err
				}
				return f.canceled(ctx, r.WatchResponse, conn)
			case r.Created:
				if err := f.created(ctx, r.WatchResponse); err != nil {
					return err
				}
				// Only a member that also answers counts as opened: the back-off must hold against one that does not.
				if err := f.ping(ctx, conn, stream); err != nil {
					return err
				}
				f.Cluster.Discover(ctx, conn)
				opened(conn, f.next)
			case len(r.Events) == 0:
				if err := f.progress(ctx, r.Header.Revision, pending); err != nil {
					return err
				}
			default:
				if err := f.take(ctx, r.Events, pending); err != nil {
					return err
				}
			}
		case <-pending.due():
			if err := f.flush(ctx, pending); err != nil {
				return err
			}
		case <-silent.C:
			if err := f.ping(ctx, conn, stream); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (f *follower) connect(ctx context.Context) (*etcdclient.Conn, error) {
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

func (f *follower) request() *pb.WatchRequest {
	key, end := keyRange(f.prefix)
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
		Key: key, RangeEnd: end, StartRevision: f.next, PrevKv: f.PrevKV,
	}}}
}

// keyRange is the range of keys that start with prefix.
func keyRange(prefix string) (key, end []byte) {
	if prefix == "" {
		return []byte{0}, []byte{0} // etcd's way to say all keys
	}
	return []byte(prefix), []byte(clientv3.GetPrefixRangeEnd(prefix))
}

type response struct {
	*pb.WatchResponse
	err error
}

// read hands over the stream's responses, one at a time: while nobody takes one,
// nothing more is read, and gRPC's flow control holds etcd back. It ends with the
// stream's error, or with ctx; ended is closed then.
func read(ctx context.Context, stream pb.Watch_WatchClient, out chan<- response, ended chan<- struct{}) {
	defer close(ended)
	for {
		r, err := stream.Recv()
		select {
		case out <- response{r, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// check refuses what no etcd sends, so that nothing below meets it.
func check(r *pb.WatchResponse, created bool) error {
	if r.Header == nil {
		return errors.New("a response has no header")
	}
	if len(r.Events) > 0 && !created {
		return errors.New("events came before the watch was created")
	}
	for _, ev := range r.Events {
		if ev == nil || ev.Kv == nil || ev.Kv.ModRevision <= 0 {
			return errors.New("an event has no key or no revision")
		}
	}
	return nil
}

// created: the first stream fixes the position at the present; later ones check
// that it is still the same cluster that answers.
func (f *follower) created(ctx context.Context, r *pb.WatchResponse) error {
	clusterID, present := r.Header.ClusterId, r.Header.Revision+1
	if f.clusterID != 0 && f.clusterID != clusterID {
		before := f.clusterID
		f.gap(ctx, logrecord.Gap{From: f.next, Reason: metadata.AttributeEtcdGapReasonHistoryChanged})
		f.identify(clusterID)
		f.next = present
		// Not errReopen: with endpoints of two clusters each stream would end like this, so the back-off must hold.
		return fmt.Errorf("cluster %s answers, before it was %s; its changes are followed from revision %d on", resource.ID(clusterID), resource.ID(before), present)
	}
	f.identify(clusterID)
	if f.next == 0 {
		f.next = present
	}
	return nil
}

func (f *follower) identify(clusterID uint64) {
	if f.clusterID != clusterID {
		f.clusterID, f.resource = clusterID, f.Resource.Cluster(clusterID)
	}
}

// canceled: etcd ended the watch. If the position was compacted away, that part
// of the history is gone and the stream goes on where history begins, which is
// the compacted revision itself.
func (f *follower) canceled(ctx context.Context, r *pb.WatchResponse, conn *etcdclient.Conn) error {
	if r.CompactRevision == 0 {
		return f.explain(cancelError(r.CancelReason), conn)
	}
	f.identify(r.Header.ClusterId)
	f.gap(ctx, logrecord.Gap{From: f.next, To: lastMissing(ctx, r.CompactRevision, conn), Reason: metadata.AttributeEtcdGapReasonCompacted})
	f.next = r.CompactRevision
	return errReopen
}

// gap records that revisions are missing.
func (f *follower) gap(ctx context.Context, g logrecord.Gap) {
	f.Logger.Error("changes are missing", zap.Int64("from_revision", g.From), zap.Int64("to_revision", g.To), zap.Stringer("reason", g.Reason))
	f.countGap(ctx, g.Reason)
	records := f.newRecords()
	if !records.Gap(g) {
		return
	}
	if err := f.Deliver(ctx, records.Logs()); err != nil {
		f.Logger.Error("the record of the gap was not delivered", zap.Error(err))
	}
}

func (f *follower) newRecords() *logrecord.Batch {
	return f.Format.NewBatch(f.resource, time.Now(), min(f.Batch.MaxRecords, 1024))
}
