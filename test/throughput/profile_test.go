// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package throughput

import (
	"flag"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/etcdreceiver/etcdreceiver/test/harness"
)

var collectorProfile = flag.String("collector-profile", "", "write a CPU profile of the distribution to this file in ToOTLP, the last one stays")

// profiler takes a profile from the pprof extension of the distribution.
type profiler struct{ addr string }

func newProfiler(tb testing.TB) *profiler {
	tb.Helper()
	if *collectorProfile == "" {
		return nil
	}
	return &profiler{harness.FreeAddress(tb)}
}

// configure adds the extension.
func (p *profiler) configure(all, service map[string]any) {
	if p == nil {
		return
	}
	all["extensions"] = map[string]any{"pprof": map[string]any{"endpoint": p.addr}}
	service["extensions"] = []string{"pprof"}
}

// take profiles the next few seconds and returns when the file is written.
func (p *profiler) take(tb testing.TB) (wait func()) {
	if p == nil {
		return func() {}
	}
	done := make(chan struct{})
	go func() { // ends with the profile
		defer close(done)
		answer, err := http.Get("http://" + p.addr + "/debug/pprof/profile?seconds=5")
		if err != nil {
			tb.Error(err)
			return
		}
		defer func() { _ = answer.Body.Close() }()
		f, err := os.Create(*collectorProfile)
		if err != nil {
			tb.Error(err)
			return
		}
		_, _ = io.Copy(f, answer.Body)
		_ = f.Close()
	}()
	time.Sleep(300 * time.Millisecond) // for its beginning
	return func() { <-done }
}
