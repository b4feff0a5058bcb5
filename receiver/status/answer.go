// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// answer is what one member said, or why it did not, in one collection.
type answer struct {
	endpoint etcdclient.Endpoint
	at       time.Time
	took     time.Duration

	header  *pb.ResponseHeader // of the first call that had one; nil if no gRPC call was answered
	status  *pb.StatusResponse // nil if it failed
	members []*pb.Member       // the member's own view; nil if it failed
	alarms  []*pb.AlarmMember
	metrics exposition // nil if it failed or was not asked for

	// reads tells whether a linearizable read succeeded.
	reads bool
	// failed holds the error of each call that failed.
	failed map[call]error
}

// call is one kind of request to a member.
type call string

const (
	callStatus  call = "status"
	callMembers call = "member_list"
	callRead    call = "read"
	callAlarms  call = "alarm_list"
	callMetrics call = "metrics"
)

// answered tells whether the member is there: it answered a gRPC call, be it to
// refuse it.
func (a *answer) answered() bool {
	return a.header != nil || etcdclient.IsDenied(a.failed[callStatus])
}

// tellsAlarms tells whether the answer says which alarms there are, if any.
func (a *answer) tellsAlarms() bool {
	return a.status != nil || etcdclient.IsDenied(a.failed[callStatus]) && a.failed[callAlarms] == nil
}

// ask makes all calls to one member at the same time, each with its own deadline.
func ask(ctx context.Context, conn *etcdclient.Conn, timeout time.Duration, withMetrics bool) answer {
	a := answer{endpoint: conn.Endpoint(), failed: map[call]error{}}
	began := time.Now()
	var status *pb.StatusResponse
	var members *pb.MemberListResponse
	calls := map[call]func(context.Context) error{
		callStatus:  func(ctx context.Context) (err error) { status, err = conn.Status(ctx); return err },
		callMembers: func(ctx context.Context) (err error) { members, err = conn.Members(ctx); return err },
		callRead:    conn.Read,
	}
	if withMetrics {
		calls[callMetrics] = func(ctx context.Context) (err error) { a.metrics, err = readMetrics(ctx, conn); return err }
	}
	a.run(ctx, timeout, calls)
	a.take(status, members)
	a.checkMetrics()
	if a.status.GetIsLearner() { // it serves neither: "rpc not supported for learner"
		delete(a.failed, callMembers)
		delete(a.failed, callRead)
	}
	// A read that is denied proves that the member has a leader, as one that is served does.
	if etcdclient.IsDenied(a.failed[callRead]) && a.status != nil {
		delete(a.failed, callRead)
	}
	a.reads = a.failed[callRead] == nil || etcdclient.IsDenied(a.failed[callRead])
	if etcdclient.IsDenied(a.failed[callStatus]) {
		// Status lists the alarms too, and costs etcd no raft proposal.
		a.run(ctx, timeout, map[call]func(context.Context) error{callAlarms: func(ctx context.Context) error {
			alarms, err := conn.Alarms(ctx)
			a.alarms = alarms.GetAlarms()
			return err
		}})
	}
	a.at = time.Now()
	a.took = a.at.Sub(began)
	return a
}

// run makes the calls in parallel and notes the errors.
func (a *answer) run(ctx context.Context, timeout time.Duration, calls map[call]func(context.Context) error) {
	var group sync.WaitGroup
	var mu sync.Mutex
	for name, do := range calls {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			if err := do(ctx); err != nil {
				mu.Lock()
				a.failed[name] = err
				mu.Unlock()
			}
		})
	}
	group.Wait()
}

// take checks the answers that the rest relies on.
func (a *answer) take(status *pb.StatusResponse, members *pb.MemberListResponse) {
	switch {
	case status.GetHeader() != nil:
		a.header, a.status = status.Header, status
		a.alarms = alarmsOf(status.Errors)
	case status != nil:
		a.failed[callStatus] = fmt.Errorf("the answer has no header")
	}
	switch {
	case members.GetHeader() != nil:
		a.members = members.Members
		if a.header == nil {
			a.header = members.Header
		}
	case members != nil:
		a.failed[callMembers] = fmt.Errorf("the answer has no header")
	}
}

// checkMetrics drops a /metrics that another member answered: behind a load
// balancer the HTTP connection can end elsewhere than the gRPC one.
func (a *answer) checkMetrics() {
	id := a.metrics.label(familyID, "server_id")
	if a.header == nil || id == "" || peerID(id) == resource.ID(a.header.MemberId) {
		return
	}
	a.metrics = nil
	a.failed[callMetrics] = fmt.Errorf("member %s answers at /metrics, and member %s at gRPC", peerID(id), resource.ID(a.header.MemberId))
}
