// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux || !(amd64 || arm64)

package trace

import (
	"context"
	"fmt"
	"runtime"
)

// Open puts the programs into the kernel. Its error says that nothing can be traced
// on this host, and why.
func (t *Tracer) Open() error {
	return fmt.Errorf("eBPF needs Linux on amd64 or arm64, this is %s on %s", runtime.GOOS, runtime.GOARCH)
}

// Run is not called where Open fails.
func (t *Tracer) Run(ctx context.Context) { t.run(ctx, func() {}) }
