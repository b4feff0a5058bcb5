// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/extension/xextension/storage"
)

var errFull = errors.New("no space left on device")

func assertLoads(t *testing.T, s *Store, prefix string, want Position, origin Origin) {
	t.Helper()
	p, o := s.Load(prefix)
	assert.Equal(t, origin, o, "origin of %q: %s", prefix, o)
	assert.Equal(t, want, p)
}

func TestWhatWasSavedIsLoadedByTheNextRun(t *testing.T) {
	positions := map[string]Position{
		"":                  at(1),
		"/a/":               full(7),
		"\xff\xfe\x00":      full(8),
		"\xff\xfd\x00":      at(9), // JSON would make both of these the same name
		"\"}\n\\u0000 / \t": at(10),
		"deleted":           {Revision: 3, Fingerprint: &Fingerprint{Revision: 3, Hash: 4, Key: []byte("k"), Deleted: true}},
		"begun":             {Revision: 3, Snapshot: &Snapshot{Revision: 3}},
	}
	d := newDisk(nil, nil)
	s := open(t, d)
	for prefix, p := range positions {
		assertLoads(t, s, prefix, Position{}, None)
		require.NoError(t, s.Save(t.Context(), prefix, p))
		assertLoads(t, s, prefix, p, Stored)
	}
	require.NoError(t, s.Close(t.Context()))

	again := open(t, d)
	require.NoError(t, again.Damage())
	for prefix, p := range positions {
		assertLoads(t, again, prefix, p, Stored)
	}
	assertLoads(t, again, "/b/", Position{}, NewPrefix)
}

func TestTheEntryIsReadableAndItsFormIsFixed(t *testing.T) {
	assert.Equal(t, `etcdreceiver-checkpoint 1 344 5913d169
{"positions":[{"prefix":"L2Ev","origin":"stored","cluster_id":"ffffffffffffffff","revision":7,`+
		`"fingerprint":{"revision":6,"hash":"8000000000000000","key":"/wBr","deleted":false,"value":"000000000000002a"},`+
		`"snapshot":{"revision":12,"next":"/g==","above":2,"resync":true,"told":0},"owed":{"from":1,"to":2,"next":3,"count":4,"reason":"refused"}}]}`, string(entryOf(t, "/a/", full(7))))
}

func TestTheEntryBeforeIsKept(t *testing.T) {
	d := newDisk(nil, nil)
	s := open(t, d)
	require.NoError(t, s.Save(t.Context(), "a", at(1)))
	assert.Equal(t, entryOf(t, "a", at(1)), d.entries[previousKey], "the first entry is its own back-up")
	for revision := int64(2); revision < 5; revision++ {
		require.NoError(t, s.Save(t.Context(), "a", at(revision)))
		assert.Equal(t, entryOf(t, "a", at(revision)), d.entries[newestKey])
		assert.Equal(t, entryOf(t, "a", at(revision-1)), d.entries[previousKey])
	}
}

func TestTheCallerKeepsItsBytes(t *testing.T) {
	s := open(t, newDisk(nil, nil))
	given := full(7)
	require.NoError(t, s.Save(t.Context(), "a", given))
	given.Fingerprint.Key[0], given.Snapshot.Next[0], given.Fingerprint.Hash = 'x', 'x', 0
	loaded, _ := s.Load("a")
	assert.Equal(t, full(7), loaded)
	loaded.Fingerprint.Key[0], loaded.Snapshot.Next[0], loaded.Snapshot.Above = 'x', 'x', 0
	assertLoads(t, s, "a", full(7), Stored)
}

func TestARemovedPrefixDropsOutAtTheFirstSave(t *testing.T) {
	d := newDisk(nil, nil)
	s := open(t, d)
	require.NoError(t, s.Save(t.Context(), "gone", at(1)))
	require.NoError(t, s.Save(t.Context(), "stays", at(2)))
	require.NoError(t, s.Save(t.Context(), "quiet", at(3)))

	s = open(t, d)
	s.Load("stays")
	s.Load("quiet")
	require.NoError(t, s.Save(t.Context(), "stays", at(4)))

	s = open(t, d)
	assertLoads(t, s, "gone", Position{}, NewPrefix)
	assertLoads(t, s, "stays", at(4), Stored)
	assertLoads(t, s, "quiet", at(3), Stored)
}

func TestAPrefixThatWasNeverSavedStaysNew(t *testing.T) {
	d := newDisk(nil, nil)
	s := open(t, d)
	assertLoads(t, s, "b", Position{}, None)
	require.NoError(t, s.Save(t.Context(), "a", at(1)))
	assertLoads(t, s, "b", Position{}, None)
	assertLoads(t, open(t, d), "b", Position{}, NewPrefix)
}

func TestOneDamagedEntryIsReplacedByTheOther(t *testing.T) {
	good, bad := entryOf(t, "a", full(7)), []byte("rubbish")
	future := []byte("etcdreceiver-checkpoint 2 anything")
	for name, c := range map[string]struct {
		newest, previous []byte
		origin           Origin
		damage           string
	}{
		"newest damaged":                     {bad, good, Previous, `entry "checkpoint": does not begin as a checkpoint does`},
		"newest absent":                      {nil, good, Previous, `entry "checkpoint": absent`},
		"newest empty":                       {[]byte{}, good, Previous, `entry "checkpoint": does not begin as a checkpoint does`},
		"previous damaged":                   {good, bad, Stored, `entry "previous": does not begin as a checkpoint does`},
		"previous absent":                    {good, nil, Stored, `entry "previous": absent`},
		"previous from before a downgrade":   {good, future, Stored, `entry "previous": a newer release wrote the checkpoint, in format 2; this release knows up to format 1`},
		"previous empty, with a good newest": {good, []byte{}, Stored, `entry "previous": does not begin as a checkpoint does`},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk(c.newest, c.previous)
			s := open(t, d)
			require.EqualError(t, s.Damage(), c.damage)
			assertLoads(t, s, "a", full(7), c.origin)

			require.NoError(t, s.Save(t.Context(), "a", at(9)))
			assertLoads(t, s, "a", at(9), Stored)
			assert.Equal(t, good, d.entries[previousKey], "the good entry is kept")
			again := open(t, d)
			require.NoError(t, again.Damage())
			assertLoads(t, again, "a", at(9), Stored)
		})
	}
}

func TestAPrefixMissingFromThePreviousEntryIsLost(t *testing.T) {
	s := open(t, newDisk([]byte("rubbish"), entryOf(t, "a", at(7))))
	assertLoads(t, s, "b", Position{}, Lost)
}

func TestTwoDamagedEntriesAreALostPosition(t *testing.T) {
	for name, d := range map[string]*disk{
		"both damaged":                    newDisk([]byte("rubbish"), []byte("more rubbish")),
		"newest damaged, no previous":     newDisk([]byte("rubbish"), nil),
		"newest absent, damaged previous": newDisk(nil, []byte("rubbish")),
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, d)
			require.ErrorContains(t, s.Damage(), `entry "checkpoint"`)
			require.ErrorContains(t, s.Damage(), `entry "previous"`)
			assertLoads(t, s, "a", Position{}, Lost)
			require.NoError(t, s.Save(t.Context(), "a", at(9)))
			again := open(t, d)
			require.NoError(t, again.Damage())
			assertLoads(t, again, "a", at(9), Stored)
		})
	}
}

func TestDamageIsToldUntilThePrefixIsSavedEvenByTheNextRun(t *testing.T) {
	good, err := encode(map[string]record{"a": newRecord("a", at(1)), "b": newRecord("b", at(2))})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		previous []byte
		want     Position
		origin   Origin
	}{
		"previous": {good, at(2), Previous},
		"lost":     {nil, Position{}, Lost},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk([]byte("rubbish"), c.previous)
			s := open(t, d)
			assertLoads(t, s, "b", c.want, c.origin)
			require.NoError(t, s.Save(t.Context(), "a", at(9)))
			assertLoads(t, s, "b", c.want, c.origin)

			s = open(t, d)
			require.NoError(t, s.Damage())
			assertLoads(t, s, "a", at(9), Stored)
			assertLoads(t, s, "b", c.want, c.origin)
			require.NoError(t, s.Save(t.Context(), "b", at(10)))
			assertLoads(t, open(t, d), "b", at(10), Stored)
		})
	}
}

func TestWhatANewerReleaseWroteIsNotTouched(t *testing.T) {
	future, bad := []byte("etcdreceiver-checkpoint 17 new fields\nnew form"), []byte("rubbish")
	for name, d := range map[string]*disk{
		"newest":                            newDisk(future, entryOf(t, "a", at(1))),
		"both":                              newDisk(future, future),
		"newest, without a previous":        newDisk(future, nil),
		"previous, with the newest damaged": newDisk(bad, future),
		"previous, with the newest missing": newDisk(nil, future),
		"newest, longer than we would read": newDisk(append(slices.Clone(future), make([]byte, maxEntry)...), nil),
		"newest, cut off after the version": newDisk(future[:len("etcdreceiver-checkpoint 17")], nil),
	} {
		t.Run(name, func(t *testing.T) {
			before := maps.Clone(d.entries)
			s, err := Open(t.Context(), d)
			assert.Nil(t, s)
			var newer *FutureError
			require.ErrorAs(t, err, &newer)
			assert.Equal(t, 17, newer.Version)
			assert.Equal(t, before, d.entries)
			assert.Zero(t, d.writes)
			assert.Zero(t, d.closes, "the client stays the caller's")
		})
	}
}

func TestAStorageThatCannotBeReadIsAnError(t *testing.T) {
	s, err := Open(t.Context(), &disk{fail: errFull})
	assert.Nil(t, s)
	require.ErrorIs(t, err, errFull)
}

func TestALaterSaveBringsWhatAFailedOneCouldNot(t *testing.T) {
	d := newDisk(nil, nil)
	s := open(t, d)
	require.NoError(t, s.Save(t.Context(), "a", at(1)))
	d.fail = errFull
	require.ErrorIs(t, s.Save(t.Context(), "a", at(2)), errFull)
	require.ErrorIs(t, s.Save(t.Context(), "b", at(3)), errFull)
	d.fail = nil
	assertLoads(t, open(t, d.now()), "a", at(1), Stored)

	require.NoError(t, s.Save(t.Context(), "c", at(4)))
	again := open(t, d)
	assertLoads(t, again, "a", at(2), Stored)
	assertLoads(t, again, "b", at(3), Stored)
	assertLoads(t, again, "c", at(4), Stored)
	assert.Equal(t, entryOf(t, "a", at(1)), d.entries[previousKey], "what did not get to the disk is no previous entry")
}

func TestNonsenseIsNotSaved(t *testing.T) {
	for _, c := range nonsense {
		d := newDisk(nil, nil)
		s := open(t, d)
		require.EqualError(t, s.Save(t.Context(), "a", c.position), "not a position to save: "+c.message)
		assertLoads(t, s, "a", Position{}, None)
		assert.Zero(t, d.writes)
	}
}

func TestAnEntryThatWouldBeTooLongIsNotWritten(t *testing.T) {
	d := newDisk(nil, nil)
	s := open(t, d)
	require.NoError(t, s.Save(t.Context(), "a", at(1)))
	long := at(2)
	long.Snapshot = &Snapshot{Revision: 2, Next: make([]byte, maxEntry*3/4)} // in base64: maxEntry
	require.ErrorContains(t, s.Save(t.Context(), "a", long), "write the checkpoint: it would be")
	assertLoads(t, open(t, d), "a", at(1), Stored)
	require.NoError(t, s.Save(t.Context(), "a", at(3)))
	assertLoads(t, open(t, d), "a", at(3), Stored)
}

func TestAClosedStoreSavesNothing(t *testing.T) {
	d := newDisk(nil, nil)
	s := open(t, d)
	require.NoError(t, s.Close(t.Context()))
	require.NoError(t, s.Close(t.Context()))
	assert.Equal(t, 1, d.closes)
	require.EqualError(t, s.Save(t.Context(), "a", at(1)), "write the checkpoint: it is closed")
	assert.Empty(t, d.entries)
}

func TestConcurrentSavesShareAWrite(t *testing.T) {
	d := newDisk(nil, nil)
	s := open(t, d)
	d.gate = make(chan struct{})
	const savers = 50
	errs := make(chan error, savers)
	for i := range savers {
		go func() { errs <- s.Save(t.Context(), fmt.Sprint(i), at(int64(i+1))) }()
	}
	given := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.last == savers
	}
	require.Eventually(t, given, 10*time.Second, time.Millisecond)
	close(d.gate)
	for range savers {
		require.NoError(t, <-errs)
	}
	// The first write may have begun before the last position was there, the second has all.
	assert.LessOrEqual(t, d.writes, 2)
	again := open(t, d)
	for i := range savers {
		assertLoads(t, again, fmt.Sprint(i), at(int64(i+1)), Stored)
	}
}

func TestAWaitingSaveIsNotHarmedByTheFailureOfAnother(t *testing.T) {
	d := newDisk(nil, nil)
	s := open(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	slow := &stoppable{disk: d, entered: make(chan struct{})}
	s.client = slow
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- s.Save(ctx, "a", at(1)) }()
	<-slow.entered
	go func() { second <- s.Save(context.WithoutCancel(ctx), "b", at(2)) }()
	cancel()
	require.ErrorIs(t, <-first, context.Canceled)
	require.NoError(t, <-second)
	again := open(t, d)
	assertLoads(t, again, "a", at(1), Stored)
	assertLoads(t, again, "b", at(2), Stored)
}

// stoppable holds its first write until the context ends.
type stoppable struct {
	*disk
	once    sync.Once
	entered chan struct{}
}

func (d *stoppable) Batch(ctx context.Context, ops ...*storage.Operation) error {
	var err error
	d.once.Do(func() {
		close(d.entered)
		<-ctx.Done()
		err = ctx.Err()
	})
	if err != nil {
		return err
	}
	return d.disk.Batch(ctx, ops...)
}

func TestWhatSaveConfirmedIsOnDiskAtAnyMoment(t *testing.T) {
	d := newDisk(nil, nil)
	s := open(t, d)
	const savers, saves = 8, 100
	confirmed := make([]atomic.Int64, savers)
	var group sync.WaitGroup
	for i := range savers {
		prefix := strings.Repeat("p", i)
		group.Go(func() {
			for revision := int64(1); revision <= saves; revision++ {
				assert.NoError(t, s.Save(t.Context(), prefix, at(revision)))
				confirmed[i].Store(revision)
			}
		})
		group.Go(func() {
			for confirmed[i].Load() < saves {
				least := confirmed[i].Load()
				crashed, err := Open(t.Context(), d.now())
				if !assert.NoError(t, err) {
					return
				}
				p, _ := crashed.Load(prefix)
				assert.GreaterOrEqual(t, p.Revision, least)
			}
		})
	}
	group.Wait()
	assert.LessOrEqual(t, d.writes, savers*saves)
}

func TestAPrefixThatOverlapsAStoredOneCanBeginThere(t *testing.T) {
	d := newDisk(nil, nil)
	store := open(t, d)
	require.NoError(t, store.Save(t.Context(), "/a/", Position{ClusterID: 7, Revision: 100, Fingerprint: &Fingerprint{Revision: 99, Key: []byte("k")}}))
	require.NoError(t, store.Save(t.Context(), "/b/", Position{ClusterID: 7, Revision: 90}))
	store = open(t, d)
	for prefix, want := range map[string]int64{"": 90, "/": 90, "/a/": 100, "/a/b/": 100, "/b/c": 90, "/c/": 0} {
		p, ok := store.Overlapping(prefix)
		assert.Equal(t, want != 0, ok, prefix)
		assert.Equal(t, want, p.Revision, prefix)
		assert.Nil(t, p.Fingerprint, "it is of other keys")
	}
}
