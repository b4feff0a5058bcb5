// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"encoding/json"
	"strings"
)

// toldBy are the lines of the log by which it is known of which prefix a gap or a snapshot is: the record itself does
// not say so.
var toldBy = map[string]struct {
	message string
	fields  map[string]string // by attribute
}{
	eventGap: {"\tchanges are missing\t", map[string]string{
		"etcd.gap.from_revision": "from_revision", "etcd.gap.to_revision": "to_revision", "etcd.gap.next_revision": "next_revision",
	}},
	eventSnapshot: {"\tthe existing keys are told\t", map[string]string{
		"etcd.snapshot.revision": "revision", "etcd.snapshot.count": "keys",
	}},
}

// tellPrefixes notes the prefix of each gap and each end of a snapshot. lines are the log of each run. A line is used
// once: records that are alike take the lines in their order, and one without a line keeps no prefix.
func tellPrefixes(records []Record, lines [][]string) {
	used := map[[2]int]bool{} // run and line
	for i := range records {
		r := &records[i]
		by, ok := toldBy[r.Name]
		if !ok || r.Run < 1 || r.Run > len(lines) {
			continue
		}
		for n, line := range lines[r.Run-1] {
			_, text, found := strings.Cut(line, by.message)
			if !found || used[[2]int{r.Run, n}] {
				continue
			}
			var fields map[string]any
			if json.NewDecoder(strings.NewReader(text)).Decode(&fields) == nil && tells(fields, r, by.fields) {
				used[[2]int{r.Run, n}] = true
				r.Prefix, _ = fields["prefix"].(string)
				break
			}
		}
	}
}

// tells compares a line with a record. A number that is absent is 0.
func tells(fields map[string]any, r *Record, names map[string]string) bool {
	for attribute, field := range names {
		want, _ := r.integer(attribute)
		if got, _ := fields[field].(float64); int64(got) != want {
			return false
		}
	}
	return true
}
