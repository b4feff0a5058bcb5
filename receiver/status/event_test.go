// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/goleak"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	healthy     = metadata.AttributeEtcdMemberStateHealthy
	unhealthy   = metadata.AttributeEtcdMemberStateUnhealthy
	unreachable = metadata.AttributeEtcdMemberStateUnreachable
)

// cluster makes a view of three members, changed by edit.
func cluster(edit func(*view)) *view {
	v := &view{clusterID: 1, members: map[uint64]*member{}}
	for id, name := range map[uint64]string{1: "n1", 2: "n2", 3: "n3"} {
		v.members[id] = &member{
			id: id, name: name, endpoint: etcdclient.Endpoint{Host: name, Port: 2379}, state: healthy, tellsAlarms: true, at: time.Unix(100, 0),
			facts: facts{known: true, version: "3.6.16", leader: 1, hasLeader: true, leads: id == 1, term: 2, committed: 10, applied: 10},
		}
	}
	v.list = []*pb.Member{{ID: 1, Name: "n1"}, {ID: 2, Name: "n2"}, {ID: 3, Name: "n3"}}
	if edit != nil {
		edit(v)
	}
	return v
}

func down(id uint64, at int64) func(*view) {
	return func(v *view) {
		m := v.members[id]
		m.lose(time.Unix(at, 0), "Unavailable")
	}
}

func TestEventsAreWhatDiffersBetweenTwoViews(t *testing.T) {
	raise := func(v *view) {
		v.members[1].alarms = []*pb.AlarmMember{{MemberID: 2, Alarm: pb.AlarmType_NOSPACE}}
	}
	newLeader := func(v *view) {
		down(1, 110)(v)
		for _, id := range []uint64{2, 3} {
			m := v.members[id]
			m.term, m.leader, m.leads = 3, 2, id == 2
		}
	}
	noLeader := func(v *view) {
		down(1, 110)(v)
		for _, id := range []uint64{2, 3} {
			v.members[id].leader, v.members[id].hasLeader = 0, false
		}
	}
	for name, tc := range map[string]struct {
		before, now *view
		want        []string
	}{
		"nothing":                   {cluster(nil), cluster(nil), nil},
		"the first view is no news": {&view{}, cluster(nil), nil},
		"but what is bad is told at once": {&view{}, cluster(func(v *view) { down(3, 100)(v); raise(v) }), []string{
			"member n3 does not answer at n3:2379: Unavailable", "member n2 raised the alarm nospace",
		}},
		"a leader dies and another leads": {cluster(nil), cluster(newLeader), []string{
			"member n1 does not answer at n1:2379: Unavailable", "n2 leads in term 3, before n1",
		}},
		"a leader dies and none leads yet": {cluster(nil), cluster(noLeader), []string{
			"member n1 does not answer at n1:2379: Unavailable", "no leader in term 2, before n1",
		}},
		"a leader is found": {cluster(noLeader), cluster(newLeader), []string{"n2 leads in term 3"}},
		"a member is back":  {cluster(down(3, 105)), cluster(func(v *view) { v.members[3].at = time.Unix(112, 0) }), []string{"member n3 answers again after 7s"}},
		"all members die: no word of the leader": {cluster(nil), cluster(func(v *view) { down(1, 110)(v); down(2, 110)(v); down(3, 110)(v) }), []string{
			"member n1 does not answer at n1:2379: Unavailable", "member n2 does not answer at n2:2379: Unavailable", "member n3 does not answer at n3:2379: Unavailable",
		}},
		"an alarm is raised":  {cluster(nil), cluster(raise), []string{"member n2 raised the alarm nospace"}},
		"an alarm is cleared": {cluster(raise), cluster(nil), []string{"member n2 cleared the alarm nospace"}},
		"silence clears no alarm": {
			cluster(func(v *view) { raise(v); down(1, 1)(v); down(2, 1)(v); down(3, 1)(v) }),
			cluster(func(v *view) { down(1, 1)(v); down(2, 1)(v); down(3, 1)(v) }), nil,
		},
		"a member is added": {cluster(nil), cluster(func(v *view) { v.list = append(v.list, &pb.Member{ID: 4, Name: "n4", IsLearner: true}) }), []string{"member n4 added as learner"}},
		"a member is promoted": {
			cluster(func(v *view) { v.list[2] = &pb.Member{ID: 3, Name: "n3", IsLearner: true} }), cluster(nil),
			[]string{"member n3 promoted from learner to voter"},
		},
		"a member is removed": {cluster(nil), cluster(func(v *view) { v.list = v.list[:2]; delete(v.members, 3) }), []string{"member n3 (voter) removed"}},
		"a version changes":   {cluster(nil), cluster(func(v *view) { v.members[2].version = "3.7.3" }), []string{"member n2 runs etcd 3.7.3, before 3.6.16"}},
		"a member in an old term has no say about the leader": {
			cluster(nil), cluster(func(v *view) { m := v.members[3]; m.term, m.leader, m.hasLeader = 1, 0, false }), nil,
		},
		"a denied Status tells no leader": {
			cluster(nil), cluster(func(v *view) {
				for _, m := range v.members {
					m.leader = 0
				}
			}), nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			events := metadata.DefaultEventsConfig()
			batch := (&logrecord.Format{Events: events, Body: true}).NewBatch((&resource.Builder{}).Cluster(1), time.Now(), 1)
			tc.before.remember(&view{})
			tc.now.remember(tc.before)
			compare(tc.before, tc.now, batch)
			var got []string
			records := batch.Logs().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
			for _, lr := range records.All() {
				got = append(got, lr.Body().Str())
			}
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestAlarmsAreReadFromTheErrorsOfStatus(t *testing.T) {
	for name, tc := range map[string]struct {
		errors []string
		want   []*pb.AlarmMember
	}{
		"3.4 to 3.6":              {[]string{"memberID:10276657743932975437 alarm:NOSPACE "}, []*pb.AlarmMember{{MemberID: 10276657743932975437, Alarm: pb.AlarmType_NOSPACE}}},
		"3.7 doubles a space":     {[]string{"memberID:1  alarm:CORRUPT"}, []*pb.AlarmMember{{MemberID: 1, Alarm: pb.AlarmType_CORRUPT}}},
		"another error":           {[]string{"etcdserver: no leader"}, nil},
		"an id that is too large": {[]string{"memberID:99999999999999999999999 alarm:NOSPACE"}, nil},
		"an alarm of the future":  {[]string{"memberID:1 alarm:FIRE"}, nil},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, tc.want, alarmsOf(tc.errors)) })
	}
}

func FuzzAlarmsNeverPanic(f *testing.F) {
	f.Add("memberID:1 alarm:NOSPACE ")
	f.Fuzz(func(t *testing.T, text string) {
		for _, a := range alarmsOf([]string{text}) {
			assert.Contains(t, pb.AlarmType_name, int32(a.Alarm))
		}
	})
}

func TestQuorumMarginCountsHealthyVotersBeyondTheQuorum(t *testing.T) {
	for name, tc := range map[string]struct {
		view  *view
		want  int
		known bool
	}{
		"three of three":               {cluster(nil), 1, true},
		"two of three":                 {cluster(down(3, 1)), 0, true},
		"one of three":                 {cluster(func(v *view) { down(3, 1)(v); v.members[2].state = unhealthy }), -1, true},
		"a learner does not count":     {cluster(func(v *view) { v.list[2] = &pb.Member{ID: 3, IsLearner: true} }), 0, true},
		"a voter that was never asked": {cluster(func(v *view) { delete(v.members, 3) }), 0, false},
		"no list":                      {&view{}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			margin, known := tc.view.quorumMargin()
			assert.Equal(t, tc.known, known)
			if known {
				assert.Equal(t, tc.want, margin)
			}
		})
	}
}

func TestTheMemberListIsThatOfTheMemberThatHasAppliedMost(t *testing.T) {
	v := cluster(func(v *view) {
		v.members[1].members, v.members[1].applied = []*pb.Member{{ID: 1, Name: "renamed"}, {ID: 2, Name: "n2"}}, 20
		v.members[2].members, v.members[2].applied = v.list, 10
	})
	v.settle()
	assert.Len(t, v.list, 2)
	assert.Equal(t, "renamed", v.members[1].name)
	assert.NotContains(t, v.members, uint64(3), "it left the list")
}

func TestLagIsTakenAgainstTheHighestCommittedIndexOfThoseThatAnswer(t *testing.T) {
	v := cluster(func(v *view) { v.members[1].committed = 50; v.members[2].committed = 90; down(2, 1)(v) })
	assert.EqualValues(t, 50, v.committed(), "n2 does not answer")
}
