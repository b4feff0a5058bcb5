// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// checkpointFaults damage what the collector stored.
func checkpointFaults() []scenario {
	// damaged kills the collector, edits its checkpoint, and goes on.
	damaged := func(edit func(entries map[string][]byte)) func(w *world) {
		return func(w *world) {
			w.must(w.collector.Kill())
			w.must(EditCheckpoint(w.config.Storage, edit))
			w.pause(500 * time.Millisecond)
			w.must(w.collector.Start(w.context()))
			w.pause(time.Second)
		}
	}
	// fallsBack: the entry before is one batch older.
	fallsBack := func(edit func(entries map[string][]byte)) func(w *world) {
		return func(w *world) {
			w.collector.AllowRepeats(2)
			damaged(edit)(w)
		}
	}
	forget := func(w *world) { w.rules.MayForget = true }
	forgotten := func(w *world, v Verdict) { assert.Equal(w.t, 1, v.Gaps, "a lost position must be said") }
	return []scenario{
		{name: "checkpoint corrupted", resumes: true, fault: fallsBack(func(entries map[string][]byte) {
			entries[newestEntry][len(entries[newestEntry])/2] ^= 0x40
		}), want: noGaps},
		{name: "checkpoint truncated", resumes: true, fault: fallsBack(func(entries map[string][]byte) {
			entries[newestEntry] = entries[newestEntry][:len(entries[newestEntry])/2]
		}), want: noGaps},
		{name: "checkpoint emptied", resumes: true, fault: fallsBack(func(entries map[string][]byte) {
			entries[newestEntry] = nil
		}), want: noGaps},
		{name: "checkpoint corrupted, both entries", resumes: true, prepare: forget, fault: damaged(func(entries map[string][]byte) {
			for name := range entries {
				entries[name][len(entries[name])/2] ^= 0x40
			}
		}), want: forgotten},
		{name: "checkpoint truncated, both entries, with resync", resumes: true, prepare: func(w *world) {
			forget(w)
			w.config.Watch["on_compaction"] = "resync"
		}, fault: damaged(func(entries map[string][]byte) {
			for name, entry := range entries {
				entries[name] = entry[:10]
			}
		}), want: forgotten},
		{name: "checkpoint from the future", resumes: true, fault: fromTheFuture, want: noGaps},
		{name: "storage full", resumes: true, prepare: smallStorage, fault: fillStorage, want: noGaps},
	}
}

// fromTheFuture: a checkpoint of a newer release must stop this one, and survive it.
func fromTheFuture(w *world) {
	w.must(w.collector.Kill())
	var before, future map[string][]byte
	w.must(EditCheckpoint(w.config.Storage, func(entries map[string][]byte) {
		before, future = map[string][]byte{}, map[string][]byte{}
		for name, entry := range entries {
			before[name] = bytes.Clone(entry)
			fields := bytes.SplitN(entry, []byte(" "), 3)
			entries[name] = bytes.Join([][]byte{fields[0], []byte("999"), fields[2]}, []byte(" "))
			future[name] = bytes.Clone(entries[name])
		}
	}))
	records := len(w.backend.Records())
	w.must(w.collector.Launch())
	w.await("a line that says why", func() bool { return w.collector.Log().Count("newer") > 0 })
	time.Sleep(time.Second)
	assert.Len(w.t, w.backend.Records(), records, "it must not go on from anywhere")
	w.must(w.collector.Kill())
	w.must(EditCheckpoint(w.config.Storage, func(entries map[string][]byte) {
		assert.Equal(w.t, future, entries, "it must not be overwritten")
		for name, entry := range before {
			entries[name] = entry
		}
	}))
	w.must(w.collector.Start(w.context()))
	w.pause(500 * time.Millisecond)
}

// smallStorage puts the checkpoint on a file system of its own.
func smallStorage(w *world) {
	if os.Getuid() != 0 {
		notHere(w.t, "a full storage needs root, to mount a small file system")
	}
	w.must(os.MkdirAll(w.config.Storage, 0o700))
	w.run("mount", "-t", "tmpfs", "-o", "size=1m", "faults", w.config.Storage)
	storage := w.config.Storage
	w.t.Cleanup(func() {
		w.collector.Close()
		w.run("umount", storage)
	})
	// There is room for a first checkpoint.
	w.must(os.WriteFile(filepath.Join(w.config.Storage, "filler"), make([]byte, 1<<20-40<<10), 0o600))
}

// fillStorage fills the rest, lets time pass and makes room again. What was sent meanwhile may come again.
func fillStorage(w *world) {
	rest := filepath.Join(w.config.Storage, "filler-2")
	f, err := os.Create(rest)
	w.must(err)
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	require.True(w.t, strings.Contains(err.Error(), "no space"), err)
	w.must(f.Close())
	// The database reuses its pages, and would never notice. But the checkpoint has the last key in it: long keys need
	// more pages.
	w.now().load.Stop() // or another key would be the last one
	for i := range 5 {
		w.now().load.write([]Op{{Key: fmt.Sprintf("/long/%d/%s", i, strings.Repeat("k", 200<<10)), Value: []byte("x")}})
		w.pause(500 * time.Millisecond)
	}
	w.await("a position that finds the storage full", func() bool { return w.collector.Log().Count("no space left") > 0 })
	w.collector.AllowRepeats(1000)
	w.must(w.collector.Kill())
	w.must(os.Remove(rest))
	w.must(w.collector.Start(w.context()))
	w.many(1000)
	w.arrived(w.last())
	w.must(w.collector.Kill()) // and now the position is stored again
	w.must(w.collector.Start(w.context()))
}
