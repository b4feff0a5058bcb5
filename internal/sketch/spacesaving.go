// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package sketch

// spaceSaving estimates how often keys came, for the limit keys that came most
// often: the algorithm Space-Saving. One that comes with a number comes as often.
// After n keys
//
//	weight - slack <= how often a key came <= weight, and slack <= n / limit,
//
// and each key that came more often than n / limit is among them.
//
// Source: Metwally, Agrawal, El Abbadi, Efficient Computation of Frequent and
// Top-k Elements in Data Streams, 2005.
type spaceSaving[K comparable] struct {
	ranking[K]
	limit int
}

func newSpaceSaving[K comparable](limit int) *spaceSaving[K] {
	return &spaceSaving[K]{newRanking[K](), limit}
}

// add counts a key n times and gives its entry.
func (s *spaceSaving[K]) add(key K, n uint64) *entry[K] {
	if e := s.entries[key]; e != nil {
		s.increase(e, n)
		return e
	}
	e := &entry[K]{key: key, weight: n}
	if len(s.lowest) == s.limit { // it may have come as often as the one that it replaces
		out := s.lowest[0]
		e.slack, e.weight = out.weight, out.weight+n
		s.remove(out)
	}
	s.insert(e)
	return e
}
