// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"io"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// cursor reads the fields of a message that lies in many buffers, as gRPC received
// it. A response can have tens of megabytes; to put them into one piece first would
// cost more than all that comes after (half of a collector's CPU was seen there).
type cursor struct {
	buffers mem.BufferSlice // that were not begun
	rest    []byte          // of the one that was
	scratch []byte          // what lies in two or more
}

// field gives the next varint or bytes field; others are skipped. b is a view, valid
// until the next call. The error is io.EOF at the end.
func (c *cursor) field() (number protowire.Number, v uint64, b []byte, err error) {
	for {
		tag, err := c.varint()
		if err != nil {
			return 0, 0, nil, err
		}
		number, kind := protowire.DecodeTag(tag)
		if number < protowire.MinValidNumber {
			return 0, 0, nil, errMalformed
		}
		switch kind {
		case protowire.VarintType:
			v, err = c.varint()
			return number, v, nil, unexpected(err)
		case protowire.BytesType:
			n, err := c.varint()
			if err != nil {
				return 0, 0, nil, unexpected(err)
			}
			b, err = c.take(n)
			return number, 0, b, err
		case protowire.Fixed32Type:
			_, err = c.take(4)
		case protowire.Fixed64Type:
			_, err = c.take(8)
		default: // groups, which no etcd sends
			err = errMalformed
		}
		if err != nil {
			return 0, 0, nil, err
		}
	}
}

var errMalformed = protowire.ParseError(-1)

func unexpected(err error) error {
	if err == io.EOF { //nolint:errorlint // ours
		return io.ErrUnexpectedEOF
	}
	return err
}

// varint reads a varint. The error is io.EOF if nothing is left.
func (c *cursor) varint() (uint64, error) {
	if v, n := protowire.ConsumeVarint(c.rest); n > 0 {
		c.rest = c.rest[n:]
		return v, nil
	}
	// It lies in two buffers, or is none.
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		if len(c.rest) == 0 && !c.advance() {
			if shift == 0 {
				return 0, io.EOF
			}
			return 0, io.ErrUnexpectedEOF
		}
		b := c.rest[0]
		c.rest = c.rest[1:]
		if shift == 63 && b > 1 {
			return 0, errMalformed
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, errMalformed
}

// advance begins the next buffer that is not empty.
func (c *cursor) advance() bool {
	for len(c.buffers) > 0 {
		c.rest, c.buffers = c.buffers[0].ReadOnlyData(), c.buffers[1:]
		if len(c.rest) > 0 {
			return true
		}
	}
	return false
}

// take gives the next n bytes.
func (c *cursor) take(n uint64) ([]byte, error) {
	if n <= uint64(len(c.rest)) {
		b := c.rest[:n:n]
		c.rest = c.rest[n:]
		return b, nil
	}
	c.scratch = c.scratch[:0]
	for uint64(len(c.scratch)) < n {
		if len(c.rest) == 0 && !c.advance() {
			return nil, io.ErrUnexpectedEOF
		}
		part := c.rest[:min(n-uint64(len(c.scratch)), uint64(len(c.rest)))]
		c.scratch = append(c.scratch, part...)
		c.rest = c.rest[len(part):]
	}
	return c.scratch, nil
}
