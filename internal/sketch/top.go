// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package sketch

import (
	"iter"
	"time"
)

const (
	// halfLife is in which time a weight fades to its half: after a day of rest a key
	// does not keep its name from one that comes often now. It also bounds how many
	// names keys that come only once can use up.
	halfLife = 10 * time.Minute
	// challengers is how many keys without a name are followed, for each name.
	challengers = 8
)

// Top counts by name the keys that come most often, and all others together. Each
// key that is added counts in one place and stays there, so that all counts only
// grow and their sum is that of all keys:
//
//   - The first limit keys get a name. These are all, in most clusters.
//   - Another key gets a name once it surely came more often lately than the named
//     key that came least, which loses its own. Its count begins then: what came
//     before has been counted as other. If the loser comes back one day, its count
//     begins anew, with a new Since.
//
// It belongs to one goroutine.
type Top[K comparable] struct {
	limit int
	named ranking[K]
	rest  *spaceSaving[K]
	other uint64
	faded time.Time
}

// Named is a key that is counted by name.
type Named[K comparable] struct {
	Key   K
	Count uint64 // since Since
	Since time.Time
}

// NewTop makes an empty Top of at most limit names, at least 1.
func NewTop[K comparable](limit int) *Top[K] {
	return &Top[K]{limit: limit, named: newRanking[K](), rest: newSpaceSaving[K](challengers * limit)}
}

// Add counts a key that came n times at now.
func (t *Top[K]) Add(key K, n uint64, now time.Time) {
	t.fade(now)
	if e := t.named.entries[key]; e != nil {
		e.count += n
		t.named.increase(e, n)
		return
	}
	if len(t.named.lowest) < t.limit {
		t.named.insert(&entry[K]{key: key, weight: n, count: n, since: now})
		return
	}
	e, least := t.rest.add(key, n), t.named.lowest[0]
	if e.weight-e.slack <= least.weight {
		t.other += n
		return
	}
	t.named.remove(least)
	t.rest.remove(e)
	t.named.insert(&entry[K]{key: key, weight: e.weight - e.slack, count: n, since: now})
}

func (t *Top[K]) fade(now time.Time) {
	if t.faded.IsZero() {
		t.faded = now
	}
	for now.Sub(t.faded) >= halfLife {
		t.faded = t.faded.Add(halfLife)
		t.named.halve()
		t.rest.halve()
	}
}

// Named gives the keys that have a name, in no order.
func (t *Top[K]) Named() iter.Seq[Named[K]] {
	return func(yield func(Named[K]) bool) {
		for _, e := range t.named.lowest {
			if !yield(Named[K]{e.key, e.count, e.since}) {
				return
			}
		}
	}
}

// Other is the count of all keys without a name.
func (t *Top[K]) Other() uint64 { return t.other }
