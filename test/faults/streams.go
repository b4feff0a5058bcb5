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

// split gives each stream its records. One that belongs to none is a violation.
func split(arrived []Record, streams []stream) (sum Verdict) {
	for _, r := range arrived {
		if s := streamOf(&r, streams); s != nil {
			s.arrived = append(s.arrived, r)
			continue
		}
		v := Violation{Run: r.Run}
		switch r.Name {
		case eventPut, eventDelete:
			v.Property, v.What = Filter, fmt.Sprintf("%s of %q is below no prefix", r.Name, r.text("etcd.key"))
			v.Revision, _ = r.integer("etcd.kv.mod_revision")
		case eventGap:
			v.Property, v.What = GapHonesty, fmt.Sprintf("it is of the prefix %q: %s", r.text(ofPrefix), r.Body)
			v.Revision, _ = r.integer("etcd.gap.from_revision")
		case eventSnapshot:
			v.Property, v.What = Snapshot, fmt.Sprintf("it is of the prefix %q: %s", r.text(ofPrefix), r.Body)
			v.Revision, _ = r.integer("etcd.snapshot.revision")
		default:
			continue // of the status tier
		}
		sum.Violations = append(sum.Violations, v)
	}
	return sum
}

// ofPrefix is the attribute by which a record without a key says which stream it is of.
const ofPrefix = "etcd.watch.prefix"

func streamOf(r *Record, streams []stream) *stream {
	for i := range streams {
		s := &streams[i]
		switch r.Name {
		case eventPut, eventDelete:
			if strings.HasPrefix(r.text("etcd.key"), s.prefix) {
				return s
			}
		case eventGap, eventSnapshot:
			if r.text(ofPrefix) == keyText(s.prefix) {
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
