// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

// The checkpoint lies in the file of the file_storage extension: the newest entry, and the one before it.
const (
	newestEntry   = "checkpoint"
	previousEntry = "previous"
)

// EditCheckpoint changes the entries in place. It may be called only while no collector runs: bbolt locks its file.
func EditCheckpoint(dir string, edit func(entries map[string][]byte)) error {
	return withStorage(dir, func(bucket *bbolt.Bucket) error {
		entries := map[string][]byte{}
		for _, key := range []string{newestEntry, previousEntry} {
			if v := bucket.Get([]byte(key)); v != nil {
				entries[key] = bytes.Clone(v)
			}
		}
		if len(entries) == 0 {
			return errors.New("there is no checkpoint")
		}
		edit(entries)
		for _, key := range []string{newestEntry, previousEntry} {
			if v, ok := entries[key]; !ok {
				if err := bucket.Delete([]byte(key)); err != nil {
					return err
				}
			} else if err := bucket.Put([]byte(key), v); err != nil {
				return err
			}
		}
		return nil
	})
}

// ReadCheckpoint gives the revisions of the checkpoint by prefix, unless it is damaged. An entry is a line
// `etcdreceiver-checkpoint <version> <length> <CRC-32C>` and JSON.
func ReadCheckpoint(dir string) (revisions map[string]int64, err error) {
	err = withStorage(dir, func(bucket *bbolt.Bucket) error {
		line, text, _ := bytes.Cut(bucket.Get([]byte(newestEntry)), []byte("\n"))
		if sum := crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli)); !bytes.HasSuffix(line, fmt.Appendf(nil, " %08x", sum)) {
			return errors.New("it is damaged")
		}
		var document struct {
			Positions []struct {
				Prefix   []byte `json:"prefix"`
				Revision int64  `json:"revision"`
			} `json:"positions"`
		}
		if err := json.Unmarshal(text, &document); err != nil {
			return err
		}
		revisions = map[string]int64{}
		for _, p := range document.Positions {
			revisions[string(p.Prefix)] = p.Revision
		}
		return nil
	})
	return revisions, err
}

func withStorage(dir string, do func(bucket *bbolt.Bucket) error) error {
	files, err := filepath.Glob(filepath.Join(dir, "receiver_etcd*"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("find the checkpoint in %s: %d files, %w", dir, len(files), errors.Join(err, os.ErrNotExist))
	}
	db, err := bbolt.Open(files[0], 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return fmt.Errorf("open the checkpoint: %w", err)
	}
	defer func() { _ = db.Close() }()
	err = db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket([]byte("default"))
		if bucket == nil {
			return errors.New("there is no bucket")
		}
		return do(bucket)
	})
	if err != nil {
		return fmt.Errorf("checkpoint in %s: %w", dir, err)
	}
	return nil
}
