// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// keyStore answers as etcd does, and adds up what a request costs it: it counts
// every key from the first to the end of the range.
type keyStore struct {
	keys     [][]byte
	counted  int
	requests int
}

func (k *keyStore) answer(r *pb.RangeRequest) *pb.RangeResponse {
	from := sort.Search(len(k.keys), func(i int) bool { return bytes.Compare(k.keys[i], r.Key) >= 0 })
	to := len(k.keys)
	if !isEnd(r.RangeEnd) {
		to = sort.Search(len(k.keys), func(i int) bool { return bytes.Compare(k.keys[i], r.RangeEnd) >= 0 })
	}
	to = max(from, to)
	k.requests++
	k.counted += to - from
	out := &pb.RangeResponse{Count: int64(to - from)}
	for _, key := range k.keys[from:min(to, from+int(r.Limit))] {
		out.Kvs = append(out.Kvs, &mvccpb.KeyValue{Key: key, Value: []byte("0123456789")})
	}
	out.More = from+int(r.Limit) < to
	return out
}

func newKeyStore(keys []string) *keyStore {
	slices.Sort(keys)
	k := &keyStore{}
	for _, key := range slices.Compact(keys) {
		k.keys = append(k.keys, []byte(key))
	}
	return k
}

// readAll gives the keys of a prefix in the order of reading.
func (k *keyStore) readAll(t testing.TB, prefix string) (out []string) {
	t.Helper()
	first, end := keyRange(prefix)
	p := newPages(first, end)
	for {
		request := p.request()
		require.True(t, isEnd(request.RangeEnd) || bytes.Compare(request.Key, request.RangeEnd) < 0, "%q..%q", request.Key, request.RangeEnd)
		answer := k.answer(request)
		for _, kv := range answer.Kvs {
			out = append(out, string(kv.Key))
		}
		if !p.next(answer) {
			return out
		}
		require.Less(t, k.requests, 100_000, "no end in sight at %q", p.first)
	}
}

// shapes are key spaces as users have them, with n keys.
var shapes = map[string]func(n int) []string{
	"one level": func(n int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprintf("/config/%08d", i))
		}
		return out
	},
	"kubernetes": func(n int) (out []string) {
		for i := range n {
			kind := []string{"pods", "events", "leases", "secrets", "minions"}[i%5]
			out = append(out, fmt.Sprintf("/registry/%s/namespace-%d/name-%x-%05d", kind, i%40, i*7919%4096, i))
		}
		return out
	},
	"a few far apart": func(n int) (out []string) {
		for i := range min(n, 500) {
			out = append(out, fmt.Sprintf("/very/long/common/prefix/%d/%d", i%3, i))
		}
		return append(out, "z", "\xff\xff\xffend", "a")
	},
	"random bytes": func(n int) (out []string) {
		r := rand.New(rand.NewPCG(1, 2))
		for range n {
			key := make([]byte, 1+r.IntN(20))
			for i := range key {
				key[i] = byte(r.Uint32())
			}
			out = append(out, string(key))
		}
		return out
	},
	"numbers without leading zeros": func(n int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprintf("key%d", i))
		}
		return out
	},
	"none": func(int) []string { return nil },
}

func TestPagesReadEveryKeyOnceInOrder(t *testing.T) {
	for name, shape := range shapes {
		for _, prefix := range []string{"", "/registry/pods/", "/registry/", "key1", "\xff"} {
			t.Run(name+" "+prefix, func(t *testing.T) {
				k := newKeyStore(shape(20_000))
				var want []string
				for _, key := range k.keys {
					if bytes.HasPrefix(key, []byte(prefix)) {
						want = append(want, string(key))
					}
				}
				assert.Equal(t, want, k.readAll(t, prefix))
			})
		}
	}
}

func TestPagesCostEtcdLinearWork(t *testing.T) {
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			k := newKeyStore(shape(200_000))
			n := len(k.readAll(t, ""))
			t.Logf("%d keys: %d requests, which count %.1f keys a key", n, k.requests, float64(k.counted)/float64(max(n, 1)))
			// The first request counts all keys; open-ended pages of 1,000 would count 100 a key.
			assert.Less(t, k.counted, 12*n+1000)
			assert.Less(t, k.requests, n/100+300)
		})
	}
}

func FuzzPages(f *testing.F) {
	f.Add([]byte("a\x00b\x00c"), "")
	f.Add([]byte("\xff\x00\xff\xff"), "\xff")
	f.Fuzz(func(t *testing.T, joined []byte, prefix string) {
		var keys []string
		for _, key := range bytes.Split(joined, []byte{0}) {
			if len(key) > 0 {
				keys = append(keys, string(key), string(key)+"\x00")
			}
		}
		k := newKeyStore(keys)
		var want []string
		for _, key := range k.keys {
			if bytes.HasPrefix(key, []byte(prefix)) {
				want = append(want, string(key))
			}
		}
		assert.Equal(t, want, k.readAll(t, prefix))
	})
}
