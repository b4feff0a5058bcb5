// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
)

const (
	magic         = "etcdreceiver-checkpoint"
	formatVersion = 1
	// maxEntry bounds what a damaged storage can make us read. A key of 1.5 MiB, the largest that etcd takes at its
	// default limits, fits eight times in base64.
	maxEntry = 16 << 20
)

// FutureError says that a newer release wrote the checkpoint.
type FutureError struct{ Version int }

func (e *FutureError) Error() string {
	return fmt.Sprintf("a newer release wrote the checkpoint, in format %d; this release knows up to format %d", e.Version, formatVersion)
}

// document is the JSON of an entry. Its prefixes are in a list because they can be
// any bytes, and names in JSON cannot.
type document struct {
	Positions []record `json:"positions"`
}

// encode gives one entry: a first line, which in every format starts with magic
// and the format version, and the document.
func encode(records map[string]record) ([]byte, error) {
	var doc document
	for _, prefix := range slices.Sorted(maps.Keys(records)) {
		if r := records[prefix]; r.Origin != None && r.Origin != NewPrefix {
			doc.Positions = append(doc.Positions, r)
		}
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	entry := append(firstLine(text), text...)
	if len(entry) > maxEntry {
		return nil, fmt.Errorf("it would be %d bytes long, more than %d", len(entry), maxEntry)
	}
	return entry, nil
}

func firstLine(text []byte) []byte {
	sum := crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli))
	return fmt.Appendf(nil, "%s %d %d %08x\n", magic, formatVersion, len(text), sum)
}

// decode gives the records of an entry, by prefix. Its error is a *FutureError, or
// says what is damaged, without keys or values.
func decode(entry []byte) (map[string]record, error) {
	line, text, complete := bytes.Cut(entry, []byte("\n"))
	fields := bytes.SplitN(line, []byte(" "), 5)
	if string(fields[0]) != magic {
		return nil, errors.New("does not begin as a checkpoint does")
	}
	if len(fields) < 2 {
		return nil, errors.New("cut off within its first line")
	}
	version, err := strconv.Atoi(string(fields[1]))
	switch {
	case err != nil:
		return nil, errors.New("format version is not a number")
	case version > formatVersion:
		return nil, &FutureError{version}
	case version < formatVersion: // the place to migrate from older formats; there is none yet
		return nil, fmt.Errorf("unknown format version %d", version)
	case !complete:
		return nil, errors.New("cut off within its first line")
	case len(fields) != 4:
		return nil, errors.New("first line is not one of a checkpoint")
	case len(entry) > maxEntry:
		return nil, fmt.Errorf("%d bytes long, more than %d", len(entry), maxEntry)
	}
	length, err := strconv.Atoi(string(fields[2]))
	switch {
	case err != nil || length < 0:
		return nil, errors.New("length is not a number")
	case len(text) < length:
		return nil, fmt.Errorf("cut off: %d of %d bytes", len(text), length)
	case len(text) > length:
		return nil, fmt.Errorf("wrong length: %d bytes in place of %d", len(text), length)
	case !bytes.Equal(entry[:len(line)+1], firstLine(text)):
		return nil, errors.New("wrong checksum")
	}
	return parse(text)
}

func parse(text []byte) (map[string]record, error) {
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("not the JSON of a checkpoint: %w", err)
	}
	if len(doc.Positions) == 0 {
		return nil, errors.New("no positions")
	}
	records := make(map[string]record, len(doc.Positions))
	for _, r := range doc.Positions {
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("nonsense: %w", err)
		}
		if _, twice := records[string(r.Prefix)]; twice {
			return nil, errors.New("nonsense: a prefix occurs twice")
		}
		records[string(r.Prefix)] = r
	}
	return records, nil
}
