// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"errors"
	"io"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
)

// Heartbeat is how often a silent stream is looked after. gRPC's own keepalive
// finds a frozen member only after 12 s (measured).
const Heartbeat = 2 * time.Second

// pingTimeout bounds the question whether the member is there.
const pingTimeout = 2 * time.Second

// ping looks after a stream on which nothing came: is the member there, and up to
// which revision is there nothing? The second answer comes on the stream, as a
// response without events, once etcd has sent all that matches: see progress. A
// stream that catches up gets none, by design, so the first question goes beside
// the stream.
func (f *follower) ping(ctx context.Context, conn *etcdclient.Conn, stream pb.Watch_WatchClient) error {
	limited, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	status, err := conn.Status(limited)
	if err != nil && !etcdclient.IsDenied(err) {
		return f.explain(err, conn)
	}
	f.trustsProgress = mendedProgress.in(status.GetVersion())
	request := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}
	if err := stream.Send(request); err != nil && !errors.Is(err, io.EOF) {
		return f.explain(err, conn)
	}
	return nil
}

// progress moves the position of a quiet prefix: without it a stream that is
// opened again after a compaction would ask for revisions that are gone, though
// nothing of the prefix is missing.
func (f *follower) progress(ctx context.Context, revision int64, pending *batch) error {
	if err := f.flush(ctx, pending); err != nil {
		return err
	}
	if f.trustsProgress && revision >= f.next {
		f.next = revision + 1
		f.tellPosition(ctx, revision)
	}
	return nil
}
