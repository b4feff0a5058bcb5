// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"
)

// buffer is where the records lie until they are read: see Programs.Drain.
type buffer interface {
	drain(each func(raw []byte)) error
	Close() error
}

// longPast is a deadline for readers that shall never wait.
var longPast = time.Unix(1, 0)

// ring is one for all CPUs, in the order in which records were begun.
type ring struct {
	*ringbuf.Reader
	record ringbuf.Record
}

func openRing(records *ebpf.Map) (buffer, error) {
	reader, err := ringbuf.NewReader(records)
	if err != nil {
		return nil, err
	}
	reader.SetDeadline(longPast)
	return &ring{Reader: reader}, nil
}

func (r *ring) drain(each func(raw []byte)) error {
	const header, align = unix.BPF_RINGBUF_HDR_SZ, 8
	for left := r.AvailableBytes(); left > 0; {
		err := r.ReadInto(&r.record)
		switch {
		case err == nil:
			n := len(r.record.RawSample)
			left -= header + (n+align-1)/align*align
			each(r.record.RawSample)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil // the rest of them was discarded
		default:
			return err
		}
	}
	return nil
}
