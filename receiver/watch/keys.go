// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
)

// readKeys tells the existing keys of the prefix, as of one revision, and fixes
// the position behind that revision if there is none yet. The changes that come
// later arrive through the watch, from the position on, so that no key is missing
// or double in between. How far it has come is part of the checkpoint.
//
// Only keys that changed last after keys.Above and before the position are told. So
// the reading can go on at a newer revision if the first one is compacted meanwhile:
// a key that has changed since comes through the watch, or lies in the next gap.
func (s *session) readKeys(ctx context.Context) error {
	first, end := keyRange(s.prefix)
	if len(s.keys.Next) > 0 {
		first = s.keys.Next // page checks that it is still the same cluster
	}
	pages := newPages(first, end)
	started := time.Now()
	s.Logger.Info("reading the existing keys", zap.String("prefix", s.prefix), zap.Int64("revision", s.keys.Revision), zap.Bool("goes_on", len(s.keys.Next) > 0))
	for {
		asked := time.Now()
		answer, err := s.page(ctx, pages)
		if err != nil {
			return err
		}
		took := time.Since(asked)
		n, err := s.tell(ctx, answer.Kvs)
		if err != nil {
			return err
		}
		s.keys.Told += int64(n)
		if !pages.next(answer) {
			break
		}
		s.keys.Next = s.past(pages.first)
		s.moved(ctx)
		sleep(ctx, took) // half of the time is the member's
		if err := s.streams.Err(); err != nil {
			return s.ended(ctx, err)
		}
	}
	told, revision := int(s.keys.Told), s.keys.Revision
	if records := s.newRecords(1); records.Snapshot(s.prefix, s.origin(), revision, told) {
		if _, err := s.announce(ctx, records); err != nil {
			return err
		}
	}
	s.keys = nil
	s.moved(ctx)
	s.Logger.Info("the existing keys are told", zap.String("prefix", s.prefix), zap.Int64("revision", revision), zap.Int("keys", told), zap.Duration("took", time.Since(started)))
	return nil
}

func (s *session) origin() logrecord.Origin {
	if s.keys.Resync {
		return logrecord.Resync
	}
	return logrecord.Snapshot
}

// page reads one page. The first one fixes the revision.
func (s *session) page(ctx context.Context, p *pages) (*pb.RangeResponse, error) {
	limited, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	request := p.request()
	request.Revision = s.keys.Revision
	// At a revision that was read once, any member's own store will do.
	request.Serializable = s.keys.Revision != 0
	answer, err := s.conn.Range(limited, request)
	switch {
	case errors.Is(rpctypes.Error(err), rpctypes.ErrCompacted):
		return nil, s.keysCompacted()
	case errors.Is(rpctypes.Error(err), rpctypes.ErrFutureRev):
		return nil, s.ahead(ctx, 0)
	case err != nil:
		return nil, fmt.Errorf("read the existing keys: %w", s.ended(ctx, err))
	case s.clusterID != 0 && s.clusterID != answer.Header.ClusterId:
		return nil, s.otherCluster(ctx, answer.Header.ClusterId, answer.Header.Revision)
	}
	s.identify(answer.Header.ClusterId)
	if s.keys.Revision == 0 {
		s.keys.Revision = answer.Header.Revision
	}
	if s.next == 0 {
		s.begins(ctx, s.keys.Revision+1)
	}
	return answer, nil
}

// pageTimeout is above the second that the first page of a large store takes,
// which counts all keys.
const pageTimeout = 30 * time.Second

func (s *session) keysCompacted() error {
	s.Logger.Info("the revision of the existing keys was compacted before all were read; the rest is read at the present", zap.String("prefix", s.prefix), zap.Int64("revision", s.keys.Revision))
	s.keys.Revision = 0
	return errReopen
}

// past moves a key behind those that are excluded: nothing of their names is stored.
func (f *follower) past(key []byte) []byte {
	for _, prefix := range f.Exclude {
		if bytes.HasPrefix(key, []byte(prefix)) {
			if _, end := keyRange(prefix); !isEnd(end) {
				return end
			}
			return []byte(prefix) // nothing comes after them; they are read again
		}
	}
	return key
}

// tell delivers the keys of one page, in batches.
func (s *session) tell(ctx context.Context, kvs []*mvccpb.KeyValue) (told int, err error) {
	var records *logrecord.Batch
	deliver := func() error {
		if records == nil {
			return nil
		}
		err := s.deliver(ctx, records, logrecord.Gap{}) // existing keys have no range of revisions
		records = nil
		return err
	}
	for _, kv := range kvs {
		if kv.ModRevision <= s.keys.Above || kv.ModRevision >= s.next || s.excluded(kv.Key) {
			continue
		}
		if records == nil {
			records = s.newRecords(min(s.Batch.MaxRecords, len(kvs)))
		}
		ev := logrecord.Event{KV: keyValue(kv)}
		if records.Existing(&ev, ev.Identity(), s.origin()) {
			told++
		}
		if s.Batch.reached(records) {
			if err := deliver(); err != nil {
				return told, err
			}
		}
	}
	return told, deliver()
}

func keyValue(kv *mvccpb.KeyValue) logrecord.KeyValue {
	return logrecord.KeyValue{Key: kv.Key, Value: kv.Value, CreateRevision: kv.CreateRevision, ModRevision: kv.ModRevision, Version: kv.Version, Lease: kv.Lease}
}
