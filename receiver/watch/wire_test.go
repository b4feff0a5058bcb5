// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/mem"

	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
)

// decoded is what both decoders make of a response.
type decoded struct {
	Header                      pb.ResponseHeader
	Compact                     int64
	Created, Canceled, Fragment bool
	Reason                      string
	Events                      []logrecord.Event
}

// ours reads data that arrived in buffers of that size.
func ours(data []byte, size int) (d decoded, err error) {
	var r response
	var buffers mem.BufferSlice
	for part := range slices.Chunk(data, size) {
		buffers = append(buffers, mem.SliceBuffer(part))
	}
	if err := r.decode(buffers); err != nil {
		return d, err
	}
	d = decoded{
		Header:  pb.ResponseHeader{ClusterId: r.header.clusterID, Revision: r.header.revision},
		Compact: r.compactRevision, Created: r.created, Canceled: r.canceled, Fragment: r.fragment, Reason: r.cancelReason,
	}
	err = r.each(func(ev *logrecord.Event) error {
		kept := *ev
		for _, b := range []*[]byte{&kept.KV.Key, &kept.KV.Value, &kept.Prev.Key, &kept.Prev.Value} {
			*b = bytes.Clone(*b)
		}
		d.Events = append(d.Events, kept)
		return nil
	})
	return d, err
}

func generated(data []byte) (d decoded, err error) {
	var r pb.WatchResponse
	if err := r.Unmarshal(data); err != nil {
		return d, err
	}
	d = decoded{Compact: r.CompactRevision, Created: r.Created, Canceled: r.Canceled, Fragment: r.Fragment, Reason: r.CancelReason}
	if r.Header != nil {
		d.Header = pb.ResponseHeader{ClusterId: r.Header.ClusterId, Revision: r.Header.Revision}
	}
	for _, ev := range r.Events {
		out := logrecord.Event{Delete: ev.Type == mvccpb.DELETE, HasPrev: ev.PrevKv != nil}
		if ev.Kv != nil {
			out.KV = keyValue(ev.Kv)
		}
		if ev.PrevKv != nil {
			out.Prev = keyValue(ev.PrevKv)
		}
		d.Events = append(d.Events, out)
	}
	return d, nil
}

var sampleResponses = []*pb.WatchResponse{
	{Header: &pb.ResponseHeader{ClusterId: 1 << 63, MemberId: 2, Revision: 3, RaftTerm: 4}, WatchId: -1, Created: true},
	{Header: &pb.ResponseHeader{}, Canceled: true, CompactRevision: 77, CancelReason: "why"},
	{Header: &pb.ResponseHeader{ClusterId: 1}, Fragment: true, Events: []*mvccpb.Event{
		{Kv: &mvccpb.KeyValue{Key: []byte("a"), Value: []byte("v"), CreateRevision: 1, ModRevision: 2, Version: 3, Lease: -4}},
		{Type: mvccpb.DELETE, Kv: &mvccpb.KeyValue{Key: []byte{0xff}, ModRevision: 3}, PrevKv: &mvccpb.KeyValue{Key: []byte{0xff}, Value: []byte("old"), ModRevision: 1, CreateRevision: 1, Version: 1}},
	}},
}

func TestAResponseDecodesAsTheGeneratedDecoderDoesIt(t *testing.T) {
	for _, sample := range sampleResponses {
		data, err := sample.Marshal()
		require.NoError(t, err)
		want, err := generated(data)
		require.NoError(t, err)
		for size := 1; size <= len(data); size++ {
			got, err := ours(data, size)
			require.NoError(t, err)
			assert.Empty(t, cmp.Diff(want, got), "in buffers of %d bytes", size)
		}
	}
}

func TestATruncatedResponseIsAnErrorOrAShorterOne(t *testing.T) {
	data, err := sampleResponses[2].Marshal()
	require.NoError(t, err)
	for n := range data {
		got, err := ours(data[:n], 7)
		if err == nil {
			assert.Less(t, len(got.Events), 2, "cut at %d", n)
		}
	}
}

// What both decoders accept they read alike. Ours is stricter: an event without a
// key or a revision is an error.
func FuzzResponse(f *testing.F) {
	for _, sample := range sampleResponses {
		data, err := sample.Marshal()
		require.NoError(f, err)
		f.Add(data, 5)
	}
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		got, err := ours(data, max(1, size))
		if err != nil {
			return
		}
		want, err := generated(data)
		if err != nil {
			return
		}
		for i := range want.Events { // the generated decoder tells no empty value from none
			for _, kv := range []*logrecord.KeyValue{&want.Events[i].KV, &want.Events[i].Prev, &got.Events[i].KV, &got.Events[i].Prev} {
				if len(kv.Value) == 0 {
					kv.Value = nil
				}
				if len(kv.Key) == 0 {
					kv.Key = nil
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}
