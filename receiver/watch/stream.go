// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// stream is one watcher of etcd, on a gRPC stream of its own: so its answers need
// no watch id, it has etcd's queue of 128 responses for itself, and a progress
// answer speaks of it alone.
type stream struct {
	grpc  grpc.ClientStream
	close context.CancelFunc
	// responses hands over what arrives, one at a time: while nobody takes one,
	// nothing more is read, and gRPC's flow control holds etcd back. The last one has
	// err set. Who takes a response frees it.
	responses chan *response
	ended     chan struct{}
	// held counts the bytes of responses that were read and not freed.
	held *atomic.Int64
}

// readAhead is how large a response may be for the next one to be read while it is
// worked on.
const readAhead = 1 << 20

var watchStream = &grpc.StreamDesc{StreamName: "Watch", ServerStreams: true, ClientStreams: true}

// openStream asks for a watch. What etcd says to it arrives as a response. end the
// stream in any case.
func openStream(ctx context.Context, conn *grpc.ClientConn, request *pb.WatchCreateRequest, c cutting, held *atomic.Int64) (*stream, error) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx)) // else a member without a leader stays silent for ever
	client, err := conn.NewStream(ctx, watchStream, "/etcdserverpb.Watch/Watch", grpc.ForceCodecV2(codec{}), grpc.MaxCallRecvMsgSize(c.maxSize()))
	if err != nil {
		cancel()
		return nil, err
	}
	c.ask(request)
	s := &stream{grpc: client, close: cancel, responses: make(chan *response), ended: make(chan struct{}), held: held}
	go s.read(ctx)
	err = s.send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: request}})
	if err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// send: an EOF says only that the stream has ended; the response says why.
func (s *stream) send(request *pb.WatchRequest) error {
	if err := s.grpc.SendMsg(request); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// requestProgress asks up to which revision all was sent. The answer is a response
// without events. There is none while the watcher catches up, by design, and it is
// dropped when etcd's queue is full: repeat it.
func (s *stream) requestProgress() error {
	return s.send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}})
}

func (s *stream) read(ctx context.Context) {
	defer close(s.ended)
	for {
		r := &response{}
		if err := s.grpc.RecvMsg(r); err != nil {
			r = &response{err: err}
		}
		s.held.Add(int64(r.size))
		if r.size > readAhead {
			r.freed = make(chan struct{})
		}
		select {
		case s.responses <- r:
		case <-ctx.Done():
			s.release(r)
			return
		}
		if r.err != nil {
			return
		}
		if r.freed != nil {
			select {
			case <-r.freed:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (s *stream) release(r *response) { release(r, s.held) }

// release frees a response that was taken.
func release(r *response, held *atomic.Int64) {
	held.Add(-int64(r.size))
	r.free()
	if r.freed != nil {
		close(r.freed)
	}
}

// end closes the stream and waits for its goroutine.
func (s *stream) end() {
	s.close()
	<-s.ended
}
