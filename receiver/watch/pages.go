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
// keys: at first from the distance that one page's keys span, then from how many
// keys the last range had.
type pages struct {
	first, end []byte // what is left; end as etcd has it, {0} is the end of all keys
	bound      []byte // end of the present range
	step       span   // how far that is from its beginning
	found      int64  // keys in it so far
	limit      int64
}

const (
	// firstPage is small because a value can have 1.5 MiB and nothing is known yet.
	firstPage = 16
	pageKeys  = 1000
	pageBytes = 1 << 20
	// rangePages is how many pages a range should have, and mostPages how many it may.
	rangePages = 4
	mostPages  = 16
)

func newPages(first, end []byte) *pages {
	return &pages{first: first, end: end, bound: end, limit: firstPage}
}

func (p *pages) request() *pb.RangeRequest {
	return &pb.RangeRequest{Key: p.first, RangeEnd: p.bound, Limit: p.limit}
}

// next moves behind an answer. It tells false at the end.
func (p *pages) next(answer *pb.RangeResponse) bool {
	kvs := answer.Kvs
	n := len(kvs)
	p.found += int64(n)
	if n > 0 {
		p.limit = pageLimit(kvs)
	}
	if answer.More && n > 0 {
		p.first = append(bytes.Clone(kvs[n-1].Key), 0)
		if left := answer.Count - int64(n); left > mostPages*p.limit && n > 1 {
			p.step = spanOf(kvs[0].Key, kvs[n-1].Key).scaled(rangePages, 1)
			p.startRange()
		}
		return true
	}
	if bytes.Equal(p.bound, p.end) {
		return false
	}
	p.first = p.bound
	p.step = p.step.scaled(rangePages*p.limit, p.found)
	p.startRange()
	return true
}

// startRange sets the bound that lies a step after first.
func (p *pages) startRange() {
	p.found = 0
	p.bound = p.after()
	if p.bound == nil || !isEnd(p.end) && bytes.Compare(p.bound, p.end) >= 0 {
		p.bound = p.end
	}
}

// after is the key that lies a step after first, nil if that is past all keys.
func (p *pages) after() []byte {
	at := min(p.step.prefix, len(p.first))
	from := number(p.first, at)
	if from+p.step.distance >= from { // no overflow
		out := append(bytes.Clone(p.first[:at]), 0, 0, 0, 0, 0, 0, 0, 0)
		binary.BigEndian.PutUint64(out[at:], from+p.step.distance)
		return out
	}
	// Past all keys with this prefix. From here the prefix is one byte shorter.
	for i := at - 1; i >= 0; i-- {
		if p.first[i] < 0xff {
			out := bytes.Clone(p.first[:i+1])
			out[i]++
			p.step = span{prefix: i, distance: 1 << 56}
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

// scaled is the span in which want keys are expected, if it held found. It changes
// by a factor of 16 at most: keys are not spread evenly.
func (s span) scaled(want, found int64) span {
	const most = 16
	switch {
	case found*most < want:
		s.distance = saturatingMul(s.distance, most)
	case found > want*most:
		s.distance /= most
	case found > want:
		s.distance /= uint64(found / want)
	default:
		s.distance = saturatingMul(s.distance, uint64(want/found))
	}
	s.distance = max(1, s.distance)
	return s
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
