// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package sketch

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var start = time.Unix(1700000000, 0)

// streams of n keys each, from skewed to flat, the rare keys first or last.
func streams(n int, each func(name string, keys []int)) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, next := range map[string]func(int) int{
		"zipf":       func(z *rand.Zipf) func(int) int { return func(int) int { return int(z.Uint64()) } }(rand.NewZipf(random, 1.2, 1, 10000)),
		"uniform":    func(int) int { return random.IntN(500) },
		"all unique": func(i int) int { return i },
		"one and unique": func(i int) int {
			if i%5 == 0 {
				return -1
			}
			return i
		},
		"rare first": func(i int) int {
			if i < n/2 {
				return i
			}
			return -1 - random.IntN(5)
		},
		"round robin": func(i int) int { return i % 37 },
	} {
		keys := make([]int, n)
		for i := range keys {
			keys[i] = next(i)
		}
		each(name, keys)
	}
}

func TestSpaceSavingIsWithinItsBound(t *testing.T) {
	const n = 20000
	for _, limit := range []int{1, 2, 10, 100, 1000} {
		streams(n, func(name string, keys []int) {
			s, exact := newSpaceSaving[int](limit), map[int]uint64{}
			for _, key := range keys {
				s.add(key, 1)
				exact[key]++
			}
			require.LessOrEqual(t, len(s.entries), limit, name)
			bound := uint64(n / limit)
			var sum uint64
			for key, e := range s.entries {
				sum += e.weight
				assert.LessOrEqual(t, e.weight-e.slack, exact[key], "%s, %d: key %d", name, limit, key)
				assert.GreaterOrEqual(t, e.weight, exact[key], "%s, %d: key %d", name, limit, key)
				assert.LessOrEqual(t, e.slack, bound, "%s, %d: key %d", name, limit, key)
			}
			assert.EqualValues(t, n, sum, "%s, %d", name, limit)
			for key, count := range exact {
				if count > bound {
					assert.Contains(t, s.entries, key, "%s, %d: came %d times", name, limit, count)
				}
			}
		})
	}
}

func counts(top *Top[int]) (named map[int]uint64) {
	named = map[int]uint64{}
	for n := range top.Named() {
		named[n.Key] = n.Count
	}
	return named
}

// A backend adds the increases of all series, also of those that have ended.
func TestEachKeyCountsInOnePlaceWhateverComes(t *testing.T) {
	const n = 5000
	for _, limit := range []int{1, 3, 20} {
		streams(n, func(name string, keys []int) {
			top := NewTop[int](limit)
			type series struct {
				key   int
				since time.Time
			}
			last, ended, other := map[series]uint64{}, uint64(0), uint64(0)
			for i, key := range keys {
				top.Add(key, 1, start.Add(time.Duration(i)*time.Second)) // many half-lives
				now := map[series]uint64{}
				var sum uint64
				for s := range top.Named() {
					now[series{s.Key, s.Since}] = s.Count
					sum += s.Count
				}
				for s, count := range last {
					if again, still := now[s]; still {
						require.GreaterOrEqual(t, again, count, "%s, %d: %d", name, limit, s.key)
					} else {
						ended += count
					}
				}
				require.GreaterOrEqual(t, top.Other(), other, "%s, %d", name, limit)
				require.EqualValues(t, i+1, ended+sum+top.Other(), "%s, %d", name, limit)
				require.LessOrEqual(t, len(now), limit, "%s, %d", name, limit)
				last, other = now, top.Other()
			}
		})
	}
}

func TestAsManyKeysAsNamesAreCountedExactly(t *testing.T) {
	top := NewTop[int](37)
	for i := range 37000 {
		top.Add(i%37, 1, start.Add(time.Duration(i)*time.Second))
	}
	named := counts(top)
	require.Len(t, named, 37)
	for key, count := range named {
		assert.EqualValues(t, 1000, count, "key %d", key)
	}
	assert.Zero(t, top.Other())
}

func TestTheKeysThatComeMostGetTheNames(t *testing.T) {
	top := NewTop[int](5)
	for i := range 20000 { // the rare ones come first
		top.Add(1000+i%2000, 1, start)
	}
	for i := range 20000 {
		key := 2000 + i%500
		if i%2 == 0 {
			key = i / 2 % 5
		}
		top.Add(key, 1, start)
	}
	named := counts(top)
	for key := range 5 {
		assert.Greater(t, named[key], uint64(1800), "key %d, which came 2000 times", key)
	}
}

func TestKeysThatComeOncePushNobodyOut(t *testing.T) {
	top := NewTop[int](3)
	for i := range 100000 {
		top.Add(-1-i%2, 1, start)
		if i > 0 {
			top.Add(i, 1, start)
		}
	}
	named := counts(top)
	assert.EqualValues(t, 1, named[1], "the first keeps the place that is left")
	assert.EqualValues(t, 50000, named[-1])
	assert.EqualValues(t, 50000, named[-2])
	assert.EqualValues(t, 99998, top.Other())
}

func TestAKeyAtRestLosesItsName(t *testing.T) {
	top := NewTop[int](1)
	for range 1 << 20 {
		top.Add(1, 1, start)
	}
	top.Add(2, 1, start.Add(halfLife))
	assert.Contains(t, counts(top), 1)
	for range 2 {
		top.Add(2, 1, start.Add(21*halfLife))
	}
	assert.Equal(t, map[int]uint64{2: 2}, counts(top))
	assert.EqualValues(t, 1, top.Other())
}

func BenchmarkTopAddsAKeyThatHasNoName(b *testing.B) {
	top := NewTop[int](20)
	for i := 0; b.Loop(); i++ {
		top.Add(i, 1, start)
	}
}

func BenchmarkTopAddsAKeyThatHasAName(b *testing.B) {
	top := NewTop[int](20)
	for i := 0; b.Loop(); i++ {
		top.Add(i%20, 1, start)
	}
}
