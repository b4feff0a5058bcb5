// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/pdata/plog"
)

// record is the log record of a change as the receiver emits it.
func record(c change) plog.LogRecord {
	r := plog.NewLogRecord()
	r.SetEventName("etcd.kv." + c.op)
	r.Attributes().PutStr("etcd.key", c.key)
	r.Attributes().PutInt("etcd.kv.mod_revision", c.revision)
	return r
}

func TestLedgerComparesWhatWasWrittenWithWhatArrived(t *testing.T) {
	a4, b5, c5, a6 := change{opPut, "a", 4}, change{opPut, "b", 5}, change{opPut, "c", 5}, change{opDelete, "a", 6}
	expired5, expired7 := change{opDelete, "s", 5}, change{opDelete, "s", 7}
	before := change{opPut, "before the watch", 3}
	for name, test := range map[string]struct {
		written, arrived []change
		want             []string
	}{
		"nothing arrived":                      {[]change{a4}, nil, []string{"no change arrived"}},
		"all arrived, with a transaction":      {[]change{before, a4, b5, c5, a6}, []change{a4, b5, c5, a6}, nil},
		"what nobody entered fills a revision": {[]change{a4, a6}, []change{a4, expired5, a6, expired7}, nil},
		"the end of the list is lost":          {[]change{a4, b5}, []change{a4}, []string{"1 written changes did not arrive, the first is put b rev 5", "1 revisions are missing, the first is 5"}},
		"half a transaction is lost":           {[]change{a4, b5, c5}, []change{a4, b5}, []string{"1 written changes did not arrive, the first is put c rev 5"}},
		"a change arrives twice":               {[]change{a4, b5}, []change{a4, b5, b5}, []string{"1 changes arrived more than once, the first is put b rev 5"}},
		"an expired session is lost":           {[]change{a4, a6}, []change{a4, a6}, []string{"1 revisions are missing, the first is 5"}},
		"a delete arrives as a put":            {[]change{a4, {opDelete, "a", 5}}, []change{a4, {opPut, "a", 5}}, []string{"1 written changes did not arrive, the first is delete a rev 5"}},
		"a change arrives under another key":   {[]change{a4, b5}, []change{a4, {opPut, "x", 5}}, []string{"1 written changes did not arrive, the first is put b rev 5"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger()
			for _, c := range test.written {
				l.wrote(c)
			}
			for _, c := range test.arrived {
				l.arrived(record(c))
			}
			assert.Equal(t, test.want, l.balance().problems())
		})
	}
}

func TestLedgerAllowsTheLastBatchOnceMoreAfterACrash(t *testing.T) {
	a4, b5, c5, a6, a7 := change{opPut, "a", 4}, change{opPut, "b", 5}, change{opPut, "c", 5}, change{opDelete, "a", 6}, change{opPut, "a", 7}
	type batches [][]change
	for name, test := range map[string]struct {
		before, after batches
		repeated      int
		want          []string
	}{
		"nothing repeated":               {batches{{a4}, {b5, c5}}, batches{{a6, a7}}, 0, nil},
		"the last batch repeated":        {batches{{a4}, {b5, c5}}, batches{{b5, c5, a6}, {a7}}, 2, nil},
		"a part of it repeated":          {batches{{a4, b5, c5}}, batches{{c5, a6, a7}}, 1, nil},
		"repeated in a batch of its own": {batches{{a4, b5, c5}}, batches{{b5, c5}, {a6, a7}}, 2, nil},
		"the batch before it repeated":   {batches{{a4}, {b5, c5}}, batches{{a4, b5, c5, a6, a7}}, 2, []string{"1 changes arrived more than once, the first is put a rev 4"}},
		"repeated twice":                 {batches{{a4}, {b5, c5}}, batches{{b5, c5}, {b5, c5}, {a6, a7}}, 2, []string{"2 changes arrived more than once, the first is put b rev 5"}},
		"repeated before the crash":      {batches{{a4}, {a4}, {b5, c5}}, batches{{a6, a7}}, 0, []string{"1 changes arrived more than once, the first is put a rev 4"}},
		"a change after it repeated":     {batches{{a4}, {b5, c5}}, batches{{a6, a7}, {a7}}, 0, []string{"1 changes arrived more than once, the first is put a rev 7"}},
		"a change after it lost":         {batches{{a4}, {b5, c5}}, batches{{b5, c5}, {a7}}, 2, []string{"1 written changes did not arrive, the first is delete a rev 6", "1 revisions are missing, the first is 6"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger()
			for _, c := range []change{a4, b5, c5, a6, a7} {
				l.wrote(c)
			}
			arrive := func(list batches) {
				for _, batch := range list {
					var records []plog.LogRecord
					for _, c := range batch {
						records = append(records, record(c))
					}
					l.arrived(records...)
				}
			}
			arrive(test.before)
			l.arrived(leaderChanged()) // is no batch of changes
			l.collectorCrashed()
			arrive(test.after)
			assert.Equal(t, test.repeated, l.balance().repeated)
			assert.Equal(t, test.want, l.balance().problems())
		})
	}
}

func TestLedgerTellsWhoWaitsOfABatch(t *testing.T) {
	l, told := newLedger(), make(chan struct{})
	go func() {
		<-l.batches
		close(told)
	}()
	for revision := int64(2); ; revision++ {
		l.arrived(record(change{opPut, "a", revision}))
		select {
		case <-told:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// leaderChanged is a log record that is no change of a key.
func leaderChanged() plog.LogRecord {
	r := plog.NewLogRecord()
	r.SetEventName("etcd.leader.changed")
	return r
}

func TestLedgerStartsWithTheFirstChange(t *testing.T) {
	l := newLedger()
	l.arrived(leaderChanged())
	select {
	case <-l.started:
		t.Fatal("an event about the cluster is no change")
	default:
	}
	l.arrived(record(change{opPut, "/demo/ready", 2}))
	<-l.started
}

func TestSummaryCountsRecords(t *testing.T) {
	l := newLedger()
	for _, c := range []change{{opPut, "a", 2}, {opPut, "b", 3}, {opDelete, "a", 4}} {
		l.wrote(c)
		l.arrived(record(c))
	}
	l.arrived(record(change{opDelete, "s", 5}))
	assert.Equal(t, []string{
		"changes    written 2 puts and 1 deletes; arrived 2 and 2, with the expired sessions",
		"writes     1 without a confirmation (no leader)",
		"revisions  2..4: 3 seen, 0 missing, 0 changes twice",
		"members    2 of 3 reported: n1, n2",
		"metrics    640 data points in 8 batches",
	}, summary(l.balance(), report{[]string{"n1", "n2"}, 8, 640}, 1, 3))

	l.collectorCrashed()
	l.arrived(record(change{opDelete, "s", 5}))
	assert.Contains(t, summary(l.balance(), report{}, 0, 3), "revisions  2..4: 3 seen, 0 missing, 0 changes twice, 1 repeated after the crash of the collector")
}
