// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Command demo shows the receiver at work and judges it: it is what `make run` starts.
//
// It starts an etcd cluster, an OTLP sink of its own and the collector between them, writes a few changes a second, and
// prints every event as it arrives and a table of the members. Meanwhile it kills the leader and restarts it later, and
// then the collector, if -for is 10 s or more.
//
// At the end, after -for or at Ctrl-C, it compares what it wrote with what arrived. The exit code is 0 only if every
// change arrived exactly once, no revision is missing, and every member reported. Only the last batch before the crash of
// the collector may arrive once more.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	var opts options
	flag.StringVar(&opts.etcd, "etcd", "", "path of the etcd program (required)")
	flag.StringVar(&opts.collector, "collector", "", "path of the collector with the etcd receiver (required)")
	flag.DurationVar(&opts.duration, "for", 0, "how long to write changes; 0: until Ctrl-C")
	flag.IntVar(&opts.members, "members", 3, "members of the etcd cluster")
	flag.BoolVar(&opts.keep, "keep", false, "leave the folder with data, configuration and logs")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second Ctrl-C ends the demo at once; the kernel then ends the children.
	context.AfterFunc(ctx, stop)
	if err := run(ctx, opts); err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

// options are the flags.
type options struct {
	etcd, collector string
	duration        time.Duration
	members         int
	keep            bool
}

func (o options) check() error {
	for _, program := range []struct{ flag, path string }{{"-etcd", o.etcd}, {"-collector", o.collector}} {
		if program.path == "" {
			return fmt.Errorf("%s is missing; `make run` builds the programs and sets it", program.flag)
		}
		if _, err := os.Stat(program.path); err != nil {
			return fmt.Errorf("%s: %w; `make run` builds it", program.flag, err)
		}
	}
	if o.members < 1 {
		return fmt.Errorf("-members %d: want at least 1", o.members)
	}
	if o.duration < 0 {
		return fmt.Errorf("-for %v: want 0 or more", o.duration)
	}
	return nil
}

// run is the demo in a folder of its own.
func run(ctx context.Context, opts options) (err error) {
	if err := opts.check(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "etcd-demo-*")
	if err != nil {
		return fmt.Errorf("create folder for the demo: %w", err)
	}
	d := &demo{opts: opts, dir: dir, out: &screen{to: os.Stdout}, ledger: newLedger(), members: newTable()}
	defer func() {
		if opts.keep {
			d.out.announce("data, configuration and logs are kept in %s", dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	return d.run(ctx)
}
