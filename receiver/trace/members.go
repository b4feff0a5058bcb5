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
	stale  bool // etcd has dialled somebody who is not among them, or has left one
	asking bool
	asked  time.Time
	told   time.Time
}

type member struct {
	id             uint64
	name           string
	peers, clients []netip.AddrPort
	unknown        []uint16 // ports for members at names that are not known here
}

// dialed notes that etcd wants to reach somebody who is not among them.
func (m *members) dialed(p *process, at netip.AddrPort) {
	m.stale = m.stale || !listens(p.ClientURLs, at.Port())
}

// unresolved tells whether a port is one for members at a name that is not known here.
func (m *members) unresolved(port uint16) bool {
	return slices.ContainsFunc(m.all, func(of member) bool { return slices.Contains(of.unknown, port) })
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

// resolve finds the addresses of a member list. Of a name that is not known here only
// the port is.
func resolve(ctx context.Context, list []*pb.Member) (all []member) {
	for _, m := range list {
		of := member{id: m.ID, name: m.Name}
		of.peers, of.unknown = addresses(ctx, m.PeerURLs)
		of.clients, _ = addresses(ctx, m.ClientURLs)
		all = append(all, of)
	}
	return all
}

func addresses(ctx context.Context, urls []string) (all []netip.AddrPort, unknown []uint16) {
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
		if len(addrs) == 0 {
			unknown = append(unknown, uint16(port))
		}
		for _, a := range addrs {
			all = append(all, netip.AddrPortFrom(a.Unmap(), uint16(port)))
		}
	}
	return all, unknown
}

// askAgain is how often the member list is asked for at most.
const askAgain = 5 * time.Second

// refreshMembers asks for the member list when it is no longer true.
func (t *tracer) refreshMembers(ctx context.Context, now time.Time) {
	if t.network == nil {
		return
	}
	m := &t.network.members
	if !m.stale || m.asking || now.Sub(m.asked) < askAgain {
		return
	}
	m.asking, m.stale, m.asked = true, false, now
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

// answeredMembers takes the answer of refreshMembers.
func (t *tracer) answeredMembers(told []member) {
	t.network.members.asking = false
	t.learnMembers(told)
}

// learnMembers takes a member list; nil: there was none.
func (t *tracer) learnMembers(told []member) {
	if told == nil {
		return
	}
	m := &t.network.members
	m.all, m.told = told, time.Now()
	for _, c := range t.network.open {
		t.classify(c)
	}
	for _, p := range t.processes {
		for id := range p.peers {
			if !slices.ContainsFunc(told, func(m member) bool { return m.id == id }) {
				delete(p.peers, id) // it was removed
			}
		}
	}
}
