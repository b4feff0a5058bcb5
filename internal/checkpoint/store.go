// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package checkpoint keeps the last delivered revisions of a receiver on the
// collector's storage extension.
//
// All prefixes of the receiver share one entry. It is kept twice, the last one
// written under "checkpoint" and the one before under "previous", because a
// storage can lose or damage what it confirmed: file_storage does not fsync by
// default. An entry is one line of text and JSON, so that a human can read it:
//
//	etcdreceiver-checkpoint <format version> <length of the rest> <crc32c of the rest, hex>
//	{"positions":[{"prefix":"<base64>","origin":"stored","cluster_id":"<hex>","revision":7, ...}, ...]}
//
// Whatever changes the meaning of an entry raises the format version, and a
// release that meets a newer format leaves it alone.
package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"go.opentelemetry.io/collector/extension/xextension/storage"
)

const (
	newestKey   = "checkpoint"
	previousKey = "previous"
)

// Store holds the positions of all prefixes of one receiver. It may be shared by
// goroutines.
type Store struct {
	client storage.Client
	damage error
	found  map[string]record // what Open read
	absent Origin            // of a prefix that is not in found

	mu   sync.Mutex
	held map[string]record // what was loaded or saved in this run
	last uint64            // number of the last Save that is in held

	writing sync.Mutex // guards what follows; taken before mu
	written uint64     // number of the last Save that is on disk
	good    []byte     // the last entry known to be whole; nil if there is none
	closed  bool
}

// Open reads the checkpoint from client, which is the store's from then on. If it
// fails, the client stays the caller's and nothing was written: the storage
// cannot be read, or a newer release wrote it, which is a *FutureError.
func Open(ctx context.Context, client storage.Client) (*Store, error) {
	newest, previous := storage.GetOperation(newestKey), storage.GetOperation(previousKey)
	if err := client.Batch(ctx, newest, previous); err != nil {
		return nil, fmt.Errorf("read the checkpoint: %w", err)
	}
	s := &Store{client: client, held: map[string]record{}}
	if newest.Value == nil && previous.Value == nil {
		s.absent = None
		return s, nil
	}
	newestRecords, newestErr := read(newest)
	previousRecords, previousErr := read(previous)
	s.damage = errors.Join(newestErr, previousErr)
	if newestErr == nil {
		s.found, s.good, s.absent = newestRecords, newest.Value, NewPrefix
		return s, nil
	}
	if future, ok := errors.AsType[*FutureError](s.damage); ok {
		return nil, future
	}
	// A prefix that is not in the previous entry may have been in the damaged one.
	s.absent = Lost
	if previousErr == nil {
		s.found, s.good = previousRecords, previous.Value
		for prefix, r := range s.found {
			if r.Origin == Stored {
				r.Origin = Previous
				s.found[prefix] = r
			}
		}
	}
	return s, nil
}

func read(op *storage.Operation) (map[string]record, error) {
	if op.Value == nil {
		return nil, fmt.Errorf("entry %q: absent", op.Key)
	}
	records, err := decode(op.Value)
	if err != nil {
		return nil, fmt.Errorf("entry %q: %w", op.Key, err)
	}
	return records, nil
}

// Damage says what was wrong with the entries that Open could not use, nil if
// nothing. The next Saves overwrite them.
func (s *Store) Damage() error { return s.damage }

// Load gives the position of a prefix: what Save was last given, else what was
// stored. It is the zero Position unless the origin is Stored or Previous.
//
// Load all prefixes before the first Save. A Save writes only those that were
// loaded or saved in this run, so that a prefix removed from the configuration
// drops out; if it comes back later it is a NewPrefix.
func (s *Store) Load(prefix string) (Position, Origin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.held[prefix]
	if !ok {
		if r, ok = s.found[prefix]; !ok {
			r = record{Prefix: []byte(prefix), Origin: s.absent}
		}
		s.held[prefix] = r
	}
	return r.Position.clone(), r.Origin
}

// Overlapping gives where a prefix that was not watched before can begin without a
// hole: the lowest stored position among the prefixes that contain it or lie
// within it. It has no fingerprint, since that is of other keys. It tells false if
// there is none.
func (s *Store) Overlapping(prefix string) (p Position, ok bool) {
	for other, r := range s.found {
		if !strings.HasPrefix(other, prefix) && !strings.HasPrefix(prefix, other) {
			continue
		}
		if !ok || r.Revision < p.Revision {
			p, ok = Position{ClusterID: r.ClusterID, Revision: r.Revision}, r.Origin != Lost
		}
	}
	return p, ok
}

// Save stores the position of a prefix, with the last ones of all others. When it
// returns nil, they are on disk as far as the storage fsyncs; the write may have
// been another goroutine's, which took this position along. When it fails, the
// next Save of any prefix writes this position too, unless it was one that no
// stream can have.
func (s *Store) Save(ctx context.Context, prefix string, p Position) error {
	if err := p.check(); err != nil {
		return fmt.Errorf("not a position to save: %w", err)
	}
	s.mu.Lock()
	s.held[prefix] = newRecord(prefix, p)
	s.last++
	number := s.last
	s.mu.Unlock()

	s.writing.Lock()
	defer s.writing.Unlock()
	if s.written >= number {
		return nil
	}
	if err := s.write(ctx); err != nil {
		return fmt.Errorf("write the checkpoint: %w", err)
	}
	return nil
}

// write needs s.writing.
func (s *Store) write(ctx context.Context) error {
	if s.closed {
		return errors.New("it is closed")
	}
	s.mu.Lock()
	last := s.last
	entry, err := encode(s.held)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	// The good entry goes first, so that a storage whose batches are not atomic has at least one whole entry at any time.
	// Without a good one the new entry is its own back-up.
	good := s.good
	if good == nil {
		good = entry
	}
	if err := s.client.Batch(ctx, storage.SetOperation(previousKey, good), storage.SetOperation(newestKey, entry)); err != nil {
		return err
	}
	s.written, s.good = last, entry
	return nil
}

// Close waits for a write under way and closes the client. What Save could not
// write is not tried again. A second Close does nothing.
func (s *Store) Close(ctx context.Context) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.client.Close(ctx)
}
