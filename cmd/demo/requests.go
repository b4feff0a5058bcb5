// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"go.opentelemetry.io/collector/pdata/plog"
)

// requests counts the requests that the receiver has read from the kernel, and the changes that say who made them. Safe
// for concurrent use.
type requests struct {
	mu      sync.Mutex
	counts  map[string]int // by operation
	slowest string         // sentence of the slowest one
	seconds float64        // how long it took

	changes, signed int
	deleted         string // sentence of the last delete that says who did it
}

func (r *requests) arrived(batch ...plog.LogRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, record := range batch {
		if strings.HasPrefix(record.EventName(), "etcd.kv.") {
			r.changed(record)
		}
		if !strings.HasPrefix(record.EventName(), "etcd.request.") {
			continue
		}
		if r.counts == nil {
			r.counts = map[string]int{}
		}
		r.counts[attribute(record.Attributes(), "db.operation.name")]++
		if took, ok := record.Attributes().Get("etcd.request.duration"); ok && took.Double() > r.seconds {
			r.seconds, r.slowest = took.Double(), record.Body().Str()
		}
	}
}

func (r *requests) changed(record plog.LogRecord) {
	r.changes++
	if _, signed := record.Attributes().Get("etcd.author.source"); !signed {
		return
	}
	r.signed++
	if record.EventName() == "etcd.kv.delete" {
		r.deleted = record.Body().Str()
	}
}

// lines sums up. why is asked if there was none.
func (r *requests) lines(why func() string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.counts) == 0 {
		return []string{"requests   not traced: " + why()}
	}
	total := 0
	var each []string
	for _, operation := range slices.Sorted(maps.Keys(r.counts)) {
		total += r.counts[operation]
		each = append(each, fmt.Sprintf("%d %s", r.counts[operation], operation))
	}
	lines := []string{
		fmt.Sprintf("requests   %d traced in the kernel: %s", total, strings.Join(each, ", ")),
		"slowest    " + r.slowest,
		fmt.Sprintf("authors    %d of %d changes say who made them; the others came while nobody looked", r.signed, r.changes),
	}
	if r.deleted != "" {
		lines = append(lines, "deleted    "+r.deleted)
	}
	return lines
}

// whyNotTraced reads the reason from the collector's output.
func whyNotTraced(log string) string {
	content, err := os.ReadFile(log)
	if err != nil {
		return err.Error()
	}
	for line := range bytes.Lines(content) {
		if !bytes.Contains(line, []byte("not traced")) {
			continue
		}
		var fields struct{ Error string }
		if start := bytes.IndexByte(line, '{'); start >= 0 && json.Unmarshal(line[start:], &fields) == nil && fields.Error != "" {
			return fields.Error
		}
	}
	return "the collector does not say why; see " + log
}
