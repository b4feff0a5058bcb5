// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package sketch finds, in memory that does not grow, the keys that come most
// often.
package sketch

import (
	"container/heap"
	"time"
)

// entry is a key in a ranking.
type entry[K comparable] struct {
	key    K
	weight uint64 // what it is ranked by
	slack  uint64 // how much of the weight may be of other keys
	count  uint64 // since it has a name: Top
	since  time.Time
	index  int // in the heap
}

// ranking finds entries by their key, and the one of the lowest weight.
type ranking[K comparable] struct {
	entries map[K]*entry[K]
	lowest  lowest[K]
}

func newRanking[K comparable]() ranking[K] { return ranking[K]{entries: map[K]*entry[K]{}} }

func (r *ranking[K]) insert(e *entry[K]) {
	r.entries[e.key] = e
	heap.Push(&r.lowest, e)
}

func (r *ranking[K]) remove(e *entry[K]) {
	delete(r.entries, e.key)
	heap.Remove(&r.lowest, e.index)
}

func (r *ranking[K]) increase(e *entry[K], n uint64) {
	e.weight += n
	heap.Fix(&r.lowest, e.index)
}

// halve keeps the order.
func (r *ranking[K]) halve() {
	for _, e := range r.lowest {
		e.weight /= 2
		e.slack /= 2
	}
}

// lowest is a heap.Interface.
type lowest[K comparable] []*entry[K]

func (l lowest[K]) Len() int           { return len(l) }
func (l lowest[K]) Less(i, j int) bool { return l[i].weight < l[j].weight }

func (l lowest[K]) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].index, l[j].index = i, j
}

func (l *lowest[K]) Push(x any) {
	e := x.(*entry[K])
	e.index = len(*l)
	*l = append(*l, e)
}

func (l *lowest[K]) Pop() any {
	last := len(*l) - 1
	e := (*l)[last]
	(*l)[last] = nil
	*l = (*l)[:last]
	return e
}
