// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// disk is a storage in memory whose writes can be made to fail or to wait.
type disk struct {
	mu      sync.Mutex
	entries map[string][]byte
	writes  int
	closes  int
	fail    error
	gate    chan struct{} // if not nil, each write takes one value from it first
}

func newDisk(newest, previous []byte) *disk {
	d := &disk{entries: map[string][]byte{}}
	for key, entry := range map[string][]byte{newestKey: newest, previousKey: previous} {
		if entry != nil {
			d.entries[key] = entry
		}
	}
	return d
}

func (d *disk) Batch(_ context.Context, ops ...*storage.Operation) error {
	if d.gate != nil {
		<-d.gate
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return d.fail
	}
	wrote := false
	for _, op := range ops {
		switch op.Type {
		case storage.Get:
			op.Value = d.entries[op.Key]
		case storage.Set:
			d.entries[op.Key] = op.Value
			wrote = true
		case storage.Delete:
			delete(d.entries, op.Key)
		}
	}
	if wrote {
		d.writes++
	}
	return nil
}

func (d *disk) Get(context.Context, string) ([]byte, error) { return nil, errors.ErrUnsupported }
func (d *disk) Set(context.Context, string, []byte) error   { return errors.ErrUnsupported }
func (d *disk) Delete(context.Context, string) error        { return errors.ErrUnsupported }

func (d *disk) Close(context.Context) error {
	d.closes++
	return nil
}

// now is what a crash at this moment would leave.
func (d *disk) now() *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &disk{entries: maps.Clone(d.entries)}
}

func open(t *testing.T, d *disk) *Store {
	t.Helper()
	s, err := Open(t.Context(), d)
	require.NoError(t, err)
	return s
}

func at(revision int64) Position { return Position{ClusterID: 0xcafe, Revision: revision} }

// full uses every field.
func full(revision int64) Position {
	return Position{
		ClusterID:   ^Hex(0),
		Revision:    revision,
		Fingerprint: &Fingerprint{Revision: revision - 1, Hash: 1 << 63, Key: []byte("\xff\x00k"), Value: 42},
		Snapshot:    &Snapshot{Revision: revision + 5, Next: []byte{0xfe}, Above: 2, Resync: true},
		Owed:        &Gap{From: 1, To: 2, Next: 3, Count: 4, Reason: "refused"},
	}
}

// entryOf is an entry with one prefix.
func entryOf(t testing.TB, prefix string, p Position) []byte {
	t.Helper()
	entry, err := encode(map[string]record{prefix: newRecord(prefix, p)})
	require.NoError(t, err)
	return entry
}

// seal puts the first line that belongs to it before text.
func seal(text string) []byte { return append(firstLine([]byte(text)), text...) }
