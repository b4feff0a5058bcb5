// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"fmt"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// target is an endpoint that is asked.
type target struct {
	conn *etcdclient.Conn
	// seed is one of the user's endpoints, else the member list named it.
	seed bool
	// memberID is who listens there: who answered last, or who is said to; 0 if
	// neither is known.
	memberID uint64
	// denied tells whether Status was refused last.
	denied   bool
	inFlight bool
}

// seed takes the endpoints that were configured or found. It is repeated while no
// member answers, since what is found on a host can change; what was found before
// and never answered is dropped then.
func (r *run) seed(ctx context.Context) {
	found, err := r.Cluster.Resolve(ctx)
	if err != nil {
		r.told.warn("etcd", err.Error(), "cannot connect to etcd", zap.Error(err))
		r.Report(err)
		return
	}
	r.told.info("target", fmt.Sprint(found.Endpoints, found.Why), "using etcd", zap.Stringers("endpoints", found.Endpoints), zap.String("why", found.Why), zap.Bool("tls", found.TLS != nil))
	r.targets = slices.DeleteFunc(r.targets, func(t *target) bool { return t.memberID == 0 && !t.inFlight })
	for _, conn := range r.Cluster.Seeds() {
		if r.target(conn.Endpoint()) == nil {
			r.targets = append(r.targets, &target{conn: conn, seed: true})
		}
	}
}

func (r *run) target(e etcdclient.Endpoint) *target {
	for _, t := range r.targets {
		if t.conn.Endpoint() == e {
			return t
		}
	}
	return nil
}

func (r *run) asks(memberID uint64) bool {
	return slices.ContainsFunc(r.targets, func(t *target) bool { return t.memberID == memberID })
}

// identify notes who answered at a target. Two targets of one member are one too
// many: the user's own is kept.
func (r *run) identify(t *target, clusterID, memberID uint64) {
	if r.view.clusterID != clusterID {
		if r.view.clusterID != 0 {
			r.told.warn("cluster", resource.ID(clusterID), "another cluster answers", zap.String("before", resource.ID(r.view.clusterID)), zap.String("now", resource.ID(clusterID)))
		}
		r.view = view{clusterID: clusterID, members: map[uint64]*member{}}
		r.before = view{}
		clear(r.collected)
	}
	t.memberID = memberID
	for _, other := range r.targets {
		switch {
		case other == t || other.memberID != memberID:
		case !other.seed && !other.inFlight:
			r.drop(other)
			return
		case !t.seed:
			r.drop(t)
			return
		}
	}
}

func (r *run) drop(t *target) {
	r.Cluster.Forget(t.conn.Endpoint())
	r.targets = slices.DeleteFunc(slices.Clone(r.targets), func(other *target) bool { return other == t })
}

// discover asks members that the list names and that have no target yet. It tells
// whether there were any: then their answers are worth waiting for. Each member is
// looked at once a tick: one whose address another member answers at, as behind a
// load balancer, must not be asked again and again.
func (r *run) discover(ctx context.Context) bool {
	r.view.settle()
	r.Cluster.Learn(r.view.list)
	r.forget()
	if !r.Discover {
		return false
	}
	asked := false
	for _, l := range r.view.list {
		if r.asks(l.ID) || r.tried[l.ID] {
			continue
		}
		r.tried[l.ID] = true
		if t := r.targetOf(l); t != nil {
			t.memberID = l.ID
			r.ask(ctx, t)
			asked = true
		}
	}
	return asked
}

// targetOf gives the target at which a listed member is said to be; nil if there
// is none.
func (r *run) targetOf(l *pb.Member) *target {
	if len(l.ClientURLs) == 0 { // it was added and has not started: it counts for the quorum, and answers nobody
		m := r.member(l.ID)
		m.lose(time.Now(), "not_started")
		r.collected[m] = true
		return nil
	}
	e, ok := r.Cluster.EndpointOf(l)
	if !ok {
		r.told.warn("url "+resource.ID(l.ID), "scheme", "no client URL that the member advertises has the scheme of the endpoints; add its address to endpoints", zap.String("member", l.Name), zap.Strings("client_urls", l.ClientURLs))
		return nil
	}
	t := r.target(e)
	switch {
	case t == nil:
		t = &target{conn: r.Cluster.Conn(e)}
		r.targets = append(r.targets, t)
	case t.memberID != 0:
		r.told.warn("url "+resource.ID(l.ID), resource.ID(t.memberID), "another member answers at the address that the member advertises; give it an --advertise-client-urls of its own, or add its address to endpoints", zap.String("member", l.Name), zap.Stringer("address", e), zap.String("answers", resource.ID(t.memberID)))
		return nil
	}
	return t
}

// forget drops the targets of members that left the list.
func (r *run) forget() {
	if r.view.list == nil {
		return
	}
	listed := byID(r.view.list)
	for _, t := range r.targets {
		if t.memberID != 0 && listed[t.memberID] == nil && !t.seed && !t.inFlight {
			r.drop(t)
		}
	}
}
