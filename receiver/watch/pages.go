// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bytes"
	"encoding/binary"
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// pages divides the reading of a key range into bounded requests.
//
// etcd counts the keys from the first of a page to the end of the request's range
// for every page, so a request to the end of a large range makes reading quadratic:
// a million keys in pages of 1,000 cost it 122 s of CPU, and 4.5 s when each page
// has an end nearby (measured, 3.6.16). Where such an end lies is learned from the
// keys themselves: the keys of one page span a distance, and the next page ends a
// few such distances further on.
type pages struct {
	first, end []byte // what is left; end as etcd has it, {0} is the end of all keys
	bound      []byte // end of the next request
	stretch    uint64 // how many distances of the last page the next one spans
	limit      int64
	span       span // of the last page
}

const (
	// firstPage is small because a value can have 1.5 MiB and nothing is known yet.
	firstPage = 16
	pageKeys  = 1000
	pageBytes = 1 << 20
	// pageStretch: with evenly spread keys a request's range holds four pages.
	pageStretch = 4
)

func newPages(first, end []byte) *pages {
	return &pages{first: first, end: end, bound: end, stretch: pageStretch, limit: firstPage}
}

func (p *pages) request() *pb.RangeRequest {
	return &pb.RangeRequest{Key: p.first, RangeEnd: p.bound, Limit: p.limit}
}

// next moves behind an answer. It tells false at the end.
func (p *pages) next(answer *pb.RangeResponse) bool {
	kvs := answer.Kvs
	if n := len(kvs); n > 0 {
		p.limit = pageLimit(kvs)
		if n > 1 {
			p.span = spanOf(kvs[0].Key, kvs[n-1].Key)
		}
	}
	if answer.More && len(kvs) > 0 {
		p.first = append(bytes.Clone(kvs[len(kvs)-1].Key), 0)
		p.stretch = pageStretch
	} else {
		if bytes.Equal(p.bound, p.end) {
			return false
		}
		p.first = p.bound
		// Fewer keys than were expected: the next range is larger, up to the rest.
		p.stretch = saturatingMul(p.stretch, 8)
	}
	p.bound = p.nextBound()
	if p.bound == nil || !isEnd(p.end) && bytes.Compare(p.bound, p.end) >= 0 {
		p.bound = p.end
	}
	return true
}

// nextBound is the key that lies stretch spans after first, nil if that is past
// all keys.
func (p *pages) nextBound() []byte {
	at := min(p.span.prefix, len(p.first))
	from, step := number(p.first, at), saturatingMul(p.span.distance, p.stretch)
	if from+step >= from { // no overflow
		out := append(bytes.Clone(p.first[:at]), 0, 0, 0, 0, 0, 0, 0, 0)
		binary.BigEndian.PutUint64(out[at:], from+step)
		return out
	}
	// Past all keys with this prefix. From here the prefix is one byte shorter.
	for i := at - 1; i >= 0; i-- {
		if p.first[i] < 0xff {
			out := bytes.Clone(p.first[:i+1])
			out[i]++
			p.span, p.stretch = span{prefix: i, distance: 1 << 56}, pageStretch
			return out
		}
	}
	return nil
}

func isEnd(key []byte) bool { return len(key) == 1 && key[0] == 0 }

// pageLimit is how many keys of that size a page should have.
func pageLimit(kvs []*mvccpb.KeyValue) int64 {
	size := 0
	for _, kv := range kvs {
		size += len(kv.Key) + len(kv.Value) + 32
	}
	return int64(min(pageKeys, max(1, pageBytes/(size/len(kvs)))))
}

// span is the distance between two keys: how far the eight bytes after their
// common prefix lie apart, as a number.
type span struct {
	prefix   int // length of the common prefix
	distance uint64
}

func spanOf(first, last []byte) span {
	n := 0
	for n < len(first) && n < len(last) && first[n] == last[n] {
		n++
	}
	return span{n, max(1, number(last, n)-number(first, n))}
}

// number reads eight bytes from an index on, as if zeros followed the key.
func number(key []byte, at int) uint64 {
	var b [8]byte
	if at < len(key) {
		copy(b[:], key[at:])
	}
	return binary.BigEndian.Uint64(b[:])
}

func saturatingMul(a, b uint64) uint64 {
	if a != 0 && b > math.MaxUint64/a {
		return math.MaxUint64
	}
	return a * b
}
