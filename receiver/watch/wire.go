// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"errors"
	"fmt"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
)

// response is one etcdserverpb.WatchResponse. Its events stay bytes until they are
// read one by one, straight into records: the generated decoder would allocate
// four times an event and cost half as much as the record itself.
type response struct {
	header          header
	created         bool
	canceled        bool
	compactRevision int64
	cancelReason    string
	// fragment says that the next response goes on with this one, maybe in the
	// middle of a revision.
	fragment bool
	events   int   // how many there are
	last     int64 // revision of the last one
	size     int   // bytes of the whole message
	data     mem.BufferSlice
	// freed is closed when a large response was freed; nil for a small one.
	freed chan struct{}
	// err ends the stream; nothing else is set then.
	err error
}

type header struct {
	present   bool
	clusterID uint64
	revision  int64 // of the member's store, when it answered
}

// Field numbers of etcd's rpc.proto and kv.proto.
const (
	responseHeader, responseCreated, responseCanceled               = 1, 3, 4
	responseCompactRevision, responseCancelReason, responseFragment = 5, 6, 7
	responseEvents                                                  = 11

	headerClusterID, headerRevision = 1, 3

	eventType, eventKV, eventPrevKV = 1, 2, 3

	kvKey, kvCreateRevision, kvModRevision, kvVersion, kvValue, kvLease = 1, 2, 3, 4, 5, 6
)

// decode reads all but the events, which it counts, and the last one's revision. It
// keeps data, and a reference to its buffers.
func (r *response) decode(data mem.BufferSlice) error {
	r.data, r.size = data, data.Len()
	data.Ref()
	c := cursor{buffers: data}
	var last cursor
	for {
		before := c
		number, v, b, err := c.field()
		switch {
		case errors.Is(err, io.EOF):
			return r.readLast(last)
		case err != nil:
			return err
		}
		switch number {
		case responseHeader:
			r.header.present = true
			err = r.header.decode(b)
		case responseCreated:
			r.created = v != 0
		case responseCanceled:
			r.canceled = v != 0
		case responseCompactRevision:
			r.compactRevision = int64(v)
		case responseCancelReason:
			r.cancelReason = string(b)
		case responseFragment:
			r.fragment = v != 0
		case responseEvents:
			r.events++
			last = before
		}
		if err != nil {
			return err
		}
	}
}

func (r *response) readLast(last cursor) error {
	if r.events == 0 {
		return nil
	}
	_, _, b, err := last.field()
	if err != nil {
		return err
	}
	var ev logrecord.Event
	err = decodeEvent(b, &ev)
	r.last = ev.KV.ModRevision
	return err
}

func (h *header) decode(data []byte) error {
	for len(data) > 0 {
		number, v, _, n := field(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		switch number {
		case headerClusterID:
			h.clusterID = v
		case headerRevision:
			h.revision = int64(v)
		}
	}
	return nil
}

// each reads the events in their order. ev is a view into the response and is used
// again for the next one.
func (r *response) each(do func(ev *logrecord.Event) error) error {
	var ev logrecord.Event
	c := cursor{buffers: r.data}
	for {
		number, _, b, err := c.field()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case number != responseEvents:
			continue
		}
		ev = logrecord.Event{}
		if err := decodeEvent(b, &ev); err != nil {
			return err
		}
		if err := do(&ev); err != nil {
			return err
		}
	}
}

// errNoKey: an event that no etcd sends.
var errNoKey = errors.New("an event has no key or no revision")

func decodeEvent(data []byte, ev *logrecord.Event) error {
	for len(data) > 0 {
		number, v, b, n := field(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		var err error
		switch number {
		case eventType:
			ev.Delete = v == 1
		case eventKV:
			err = decodeKeyValue(b, &ev.KV)
		case eventPrevKV:
			ev.HasPrev = true
			err = decodeKeyValue(b, &ev.Prev)
		}
		if err != nil {
			return err
		}
	}
	if len(ev.KV.Key) == 0 || ev.KV.ModRevision <= 0 {
		return errNoKey
	}
	return nil
}

func decodeKeyValue(data []byte, kv *logrecord.KeyValue) error {
	for len(data) > 0 {
		number, v, b, n := field(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		switch number {
		case kvKey:
			kv.Key = b
		case kvCreateRevision:
			kv.CreateRevision = int64(v)
		case kvModRevision:
			kv.ModRevision = int64(v)
		case kvVersion:
			kv.Version = int64(v)
		case kvValue:
			kv.Value = b
		case kvLease:
			kv.Lease = int64(v)
		}
	}
	return nil
}

// field reads the first field of a message, a varint as v or bytes as b, and gives
// its length, below 0 for protowire.ParseError. number is 0 if it is of another kind.
func field(data []byte) (number protowire.Number, v uint64, b []byte, n int) {
	number, kind, tag := protowire.ConsumeTag(data)
	if tag < 0 {
		return 0, 0, nil, tag
	}
	switch data = data[tag:]; kind {
	case protowire.VarintType:
		v, n = protowire.ConsumeVarint(data)
	case protowire.BytesType:
		b, n = protowire.ConsumeBytes(data)
	default:
		number, n = 0, protowire.ConsumeFieldValue(number, kind, data)
	}
	if n < 0 {
		return 0, 0, nil, n
	}
	return number, v, b, tag + n
}

// free gives the buffers back. What was read from the response is invalid then.
func (r *response) free() {
	r.data.Free()
	r.data = nil
}

// codec makes gRPC hand the bytes of a response to us. Source of its contract:
// google.golang.org/grpc/encoding, CodecV2.
type codec struct{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	data, err := v.(*pb.WatchRequest).Marshal()
	if err != nil {
		return nil, err
	}
	return mem.BufferSlice{mem.SliceBuffer(data)}, nil
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	r := v.(*response)
	if err := r.decode(data); err != nil {
		r.free()
		return fmt.Errorf("a watch response cannot be read: %w", err)
	}
	return nil
}
