// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"strings"
)

// stream is what one prefix brings. Streams share nothing: order and whole revisions are promised within each, and
// between them records may come in any order.
type stream struct {
	prefix  string
	rules   Rules
	arrived []Record
}

// streams cuts the rules into one stream for each prefix.
func (r *Rules) streams() []stream {
	switch len(r.Prefixes) {
	case 0:
		return []stream{{rules: *r}}
	case 1:
		return []stream{{prefix: r.Prefixes[0], rules: *r}}
	}
	var all []stream
	for i, prefix := range r.Prefixes {
		s := stream{prefix: prefix, rules: *r}
		s.rules.Prefixes, s.rules.EndKey = []string{prefix}, r.endKeys()[i]
		all = append(all, s)
	}
	return all
}

// endKeys are the keys that are written last, one in each stream.
func (r *Rules) endKeys() []string {
	if len(r.Prefixes) < 2 {
		return []string{r.EndKey}
	}
	var keys []string
	for _, prefix := range r.Prefixes {
		keys = append(keys, prefix+r.EndKey)
	}
	return keys
}

// split gives each stream its records. A record that belongs to none is a violation if it has a key; without one it
// cannot be judged.
func split(arrived []Record, streams []stream) (sum Verdict) {
	if len(streams) == 1 {
		streams[0].arrived = arrived
		return sum
	}
	for _, r := range arrived {
		s := streamOf(&r, streams)
		switch key := r.text("etcd.key"); {
		case s != nil:
			s.arrived = append(s.arrived, r)
		case r.Name == eventPut, r.Name == eventDelete:
			revision, _ := r.integer("etcd.kv.mod_revision")
			sum.Violations = append(sum.Violations, Violation{Filter, r.Run, revision, fmt.Sprintf("%s of %q is below no prefix", r.Name, key)})
		case r.Name == eventGap, r.Name == eventSnapshot:
			sum.NotJudged = append(sum.NotJudged, fmt.Sprintf("of which prefix is %q of run %d? %s", r.Name, r.Run, r.Body))
		}
	}
	return sum
}

func streamOf(r *Record, streams []stream) *stream {
	for i := range streams {
		s := &streams[i]
		switch r.Name {
		case eventPut, eventDelete:
			if strings.HasPrefix(r.text("etcd.key"), s.prefix) {
				return s
			}
		case eventGap, eventSnapshot:
			if r.Prefix == s.prefix {
				return s
			}
		}
	}
	return nil
}

// add joins the verdict on one of several streams.
func (v *Verdict) add(o Verdict) {
	v.NotJudged = append(v.NotJudged, o.NotJudged...)
	v.Violations = append(v.Violations, o.Violations...)
	v.Changes += o.Changes
	v.Missing += o.Missing
	v.Repeats += o.Repeats
	v.Gaps += o.Gaps
	v.Snapshots += o.Snapshots
}
