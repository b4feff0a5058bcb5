// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
)

// members are those of the cluster and where they listen, as its member list says.
type members struct {
	all    []member
	stale  bool // etcd has dialled somebody who is not among them
	asking bool
	asked  time.Time
}

type member struct {
	id             uint64
	name           string
	peers, clients []netip.AddrPort
}

// listening is the member that listens for others there, nil if none does.
func (m *members) listening(at netip.AddrPort) *member {
	for i := range m.all {
		if slices.Contains(m.all[i].peers, at) {
			return &m.all[i]
		}
	}
	return nil
}

// only is the member at an address where no other is, but for the one that asks.
// Nil on a host with several, and where addresses are translated on the way.
func (m *members) only(addr netip.Addr, asks uint64) (found *member) {
	for i := range m.all {
		if m.all[i].id == asks || !slices.ContainsFunc(m.all[i].peers, func(p netip.AddrPort) bool { return p.Addr() == addr }) {
			continue
		}
		if found != nil {
			return nil
		}
		found = &m.all[i]
	}
	return found
}

// serves tells whether a member says that clients may come to a port of it.
func (m *members) serves(id uint64, port uint16) bool {
	for i := range m.all {
		if m.all[i].id == id {
			return slices.ContainsFunc(m.all[i].clients, func(c netip.AddrPort) bool { return c.Port() == port })
		}
	}
	return false
}

// resolveTimeout bounds the look-up of one name.
const resolveTimeout = time.Second

// resolve finds the addresses of a member list. A name that is not known here is left
// out.
func resolve(ctx context.Context, list []*pb.Member) (all []member) {
	for _, m := range list {
		all = append(all, member{m.ID, m.Name, addresses(ctx, m.PeerURLs), addresses(ctx, m.ClientURLs)})
	}
	return all
}

func addresses(ctx context.Context, urls []string) (all []netip.AddrPort) {
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil {
			continue
		}
		port, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
		addrs, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
		cancel()
		for _, a := range addrs {
			all = append(all, netip.AddrPortFrom(a.Unmap(), uint16(port)))
		}
	}
	return all
}

// askAgain is how often the member list is asked for while etcd dials somebody who is
// not in it.
const askAgain = 10 * time.Second

// refreshMembers asks for the member list when it is no longer true.
func (t *tracer) refreshMembers(ctx context.Context, now time.Time) {
	if t.network == nil {
		return
	}
	m := &t.network.members
	if !m.stale || m.asking || now.Sub(m.asked) < askAgain {
		return
	}
	m.asking, m.asked = true, now
	go func() {
		told, err := t.askMembers(ctx)
		if err != nil {
			t.Logger.Debug("the member list cannot be had", zap.Error(err))
		}
		select {
		case t.membersTold <- told:
		case <-ctx.Done():
		}
	}()
}

func (t *tracer) askMembers(ctx context.Context) (told []member, err error) {
	if _, err := t.Cluster.Resolve(ctx); err != nil {
		return nil, err
	}
	for _, conn := range t.Cluster.Seeds() {
		var list *pb.MemberListResponse
		if list, err = conn.Members(ctx); err == nil {
			return resolve(ctx, list.Members), nil
		}
	}
	return nil, err
}

// learnMembers takes a member list; nil: there was none.
func (t *tracer) learnMembers(told []member) {
	m := &t.network.members
	m.asking, m.stale = false, false
	if told == nil {
		return
	}
	m.all = told
	for _, c := range t.network.open {
		t.classify(c)
	}
}
