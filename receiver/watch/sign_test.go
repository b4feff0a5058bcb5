// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/join"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

const (
	tracedEtcd = 7
	member     = 0xabcd
)

// window has what was traced of revisions 11 to 13: a put of alice here, a put of bob
// on another member, and a put of which no request was seen.
func window() *join.Window {
	w := join.NewWindow()
	w.Tracing(tracedEtcd, 10)
	w.Applied(&join.Applied{PID: tracedEtcd, Revision: 11, Here: true, User: "alice", Operation: "put"})
	w.Served(&join.Write{
		PID: tracedEtcd, Revision: 11, Certain: true, Puts: []join.Keys{{Key: []byte("a")}},
		By: logrecord.Author{Source: metadata.AttributeEtcdAuthorSourceRequest, User: "alice", Operation: "put", Duration: time.Millisecond},
	})
	w.Applied(&join.Applied{PID: tracedEtcd, Revision: 12, User: "bob", Operation: "put", MemberID: member})
	w.Applied(&join.Applied{PID: tracedEtcd, Revision: 13, Here: true, Operation: "put"})
	return w
}

// bodies collects the sentences of what is delivered.
func bodies(out *[]string) Deliver {
	return func(_ context.Context, logs plog.Logs) error {
		all := records(logs)
		for i := range all.Len() {
			*out = append(*out, all.At(i).Body().Str())
		}
		return nil
	}
}

func changes() []*mvccpb.Event {
	var all []*mvccpb.Event
	for revision := int64(10); revision <= 13; revision++ {
		all = append(all, events(revision, "a")...)
	}
	return append(all, events(14, "skip/", "/skip/a")...)
}

func TestChangesAreSignedInTheirOrder(t *testing.T) {
	var got []string
	s := follow(t, Bounds{MaxRecords: 5, MaxBytes: 1 << 20, MaxDelay: time.Hour}, bodies(&got))
	s.Window = window()
	s.pending = s.newBatch()
	require.NoError(t, s.takeEvents(t, changes()))
	assert.Equal(t, []string{
		"put a rev 10 (1 B, version 1)",
		"put a rev 11 (1 B, version 1) by alice in 1ms",
		"put a rev 12 (1 B, version 1) by bob via member 000000000000abcd",
		"put a rev 13 (1 B, version 1)",
		"put skip/ rev 14 (1 B, version 1)",
		"authors of 2 changes in revisions 13..14 missing: missed",
		"authors of 1 changes in revisions 10..10 missing: untraced",
	}, got)
}

func TestLocalScopeLeavesOutWhatAnotherMemberServedAndNothingElse(t *testing.T) {
	var got []string
	s := follow(t, Bounds{MaxRecords: 5, MaxBytes: 1 << 20, MaxDelay: time.Hour}, bodies(&got))
	s.Window, s.Local = window(), true
	s.pending = s.newBatch()
	require.NoError(t, s.takeEvents(t, changes()))
	assert.Equal(t, []string{
		"put a rev 10 (1 B, version 1)",
		"put a rev 11 (1 B, version 1) by alice in 1ms",
		"put a rev 13 (1 B, version 1)",
		"put skip/ rev 14 (1 B, version 1)",
		"authors of 2 changes in revisions 13..14 missing: missed",
		"authors of 1 changes in revisions 10..10 missing: untraced",
	}, got)
	assert.EqualValues(t, 15, s.next, "the position moves past what is left out")
}

func TestWithoutTracingChangesAreNotHeldUp(t *testing.T) {
	var got []string
	s := follow(t, Bounds{MaxRecords: 5, MaxBytes: 1 << 20, MaxDelay: time.Hour}, bodies(&got))
	s.Window, s.Local = join.NewWindow(), true
	s.pending = s.newBatch()
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // a wait would end with it, and leave the changes as they are
	s.sign(ctx)
	require.NoError(t, s.takeEvents(t, changes()))
	assert.Len(t, got, 5)
	assert.NotContains(t, got[1], " by ")
}
