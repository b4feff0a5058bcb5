// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"math"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// cutting is how large responses may be. One holds up to 1,000 whole revisions, and
// a range delete of any size is one revision.
//
// etcd cuts a response above 2 MiB if it is asked to, but computes the size of the
// fragment anew for every event it adds: 100,000 events of 100 B cost it 67 us each
// with fragments and 2.7 us without, of 1 KiB 12.9 us against 2.7 us, but then the
// whole response has 100 MB (measured, 3.6.16). So fragments are asked for only
// where a response did not fit and its events are large.
type cutting int

const (
	bounded cutting = iota // whole, up to maxWhole; a larger one ends the stream
	cut                    // in fragments
	whole                  // whole, of any size: many small events
)

const (
	// maxWhole is the largest response in bytes that is taken without being asked for.
	maxWhole = 48 << 20
	// smallEvent is the mean size in bytes below which fragments are too dear.
	smallEvent = 512
)

// maxSize is what gRPC is to accept. It refuses a larger message before reading it.
func (c cutting) maxSize() int {
	if c == bounded {
		return maxWhole
	}
	return math.MaxInt32
}

// ask puts the wish into a request.
func (c cutting) ask(request *pb.WatchCreateRequest) { request.Fragment = c == cut }

// tooLarge tells whether a stream ended because a response was above maxSize, and
// has the next one cut.
func (f *follower) tooLarge(err error) bool {
	if f.cutting != bounded || status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "received message larger than max") {
		return false
	}
	f.cutting = cut
	return true
}

// tooDear tells whether a response shows that fragments cost etcd too much, and has
// the next stream's responses whole.
func (f *follower) tooDear(r *response) bool {
	if f.cutting != cut || !r.fragment || r.size >= r.events*smallEvent {
		return false
	}
	f.cutting = whole
	return true
}
