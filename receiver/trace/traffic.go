// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"net/netip"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
	"github.com/etcdreceiver/etcdreceiver/internal/sketch"
)

// traffic is what the connections of a process with clients, or with members, have
// moved since it passed its self-check.
type traffic struct {
	opened                        uint64
	closed                        map[end]uint64
	received, sent, retransmitted uint64
	rtt                           *histogram
}

func newTraffic() map[from]*traffic {
	all := map[from]*traffic{}
	for _, f := range []from{fromClient, fromMember} {
		all[f] = &traffic{closed: map[end]uint64{}, rtt: newHistogram(rttBounds)}
	}
	return all
}

// rttBounds are seconds: within a host, a rack, a region, and what etcd cannot live
// with.
var rttBounds = []float64{25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 1}

func (t *traffic) moved(received, sent, again uint64) {
	t.received += received
	t.sent += sent
	t.retransmitted += again
}

// timeConnections counts the round trips of the connections that were used since the
// last collection.
func (t *tracer) timeConnections() {
	if t.network == nil {
		return
	}
	for _, c := range t.network.open {
		c.time()
	}
}

// clients counts bytes by the client's address.
type clients struct{ received, sent *sketch.Top[netip.Addr] }

func newClients(names int) *clients {
	return &clients{sketch.NewTop[netip.Addr](names), sketch.NewTop[netip.Addr](names)}
}

func (c *clients) add(addr netip.Addr, received, sent uint64, now time.Time) {
	if received > 0 {
		c.received.Add(addr, received, now)
	}
	if sent > 0 {
		c.sent.Add(addr, sent, now)
	}
}

// recordTraffic makes the metrics of connections that metadata.yaml declares.
func (n *network) recordTraffic(b *metadata.MetricsBuilder, p *process, now time.Time) {
	if n == nil || p.traffic == nil {
		return
	}
	at := pcommon.NewTimestampFromTime(now)
	open, rtt := map[from]int64{}, map[*peer][]time.Duration{}
	for _, c := range n.open {
		if c.of != p {
			continue
		}
		open[c.from]++
		if c.peer != nil && c.RTT > 0 {
			rtt[c.peer] = append(rtt[c.peer], c.RTT)
		}
	}
	for f, t := range p.traffic {
		b.RecordEtcdNetworkConnectionCountDataPoint(at, open[f], f)
		b.RecordEtcdNetworkConnectionOpenedDataPoint(at, int64(t.opened), f)
		for how, count := range t.closed {
			b.RecordEtcdNetworkConnectionClosedDataPoint(at, int64(count), f, how)
		}
		if n.sockets != nil {
			continue // what they have moved is not known
		}
		b.RecordEtcdNetworkTCPIoDataPoint(at, int64(t.received), f, metadata.AttributeNetworkIoDirectionReceive)
		b.RecordEtcdNetworkTCPIoDataPoint(at, int64(t.sent), f, metadata.AttributeNetworkIoDirectionTransmit)
		b.RecordEtcdNetworkTCPRetransmitsDataPoint(at, int64(t.retransmitted), f)
	}
	for f, count := range p.neverUp {
		b.RecordEtcdNetworkConnectionFailedDataPoint(at, int64(count), f.from, f.direction, f.handshake, f.reason)
	}
	for _, peer := range p.peers {
		id := resource.ID(peer.id)
		b.RecordEtcdNetworkPeerConnectionCountDataPoint(at, int64(peer.connections), id)
		if n.sockets != nil {
			continue
		}
		b.RecordEtcdNetworkPeerTCPIoDataPoint(at, int64(peer.received), id, metadata.AttributeNetworkIoDirectionReceive)
		b.RecordEtcdNetworkPeerTCPIoDataPoint(at, int64(peer.sent), id, metadata.AttributeNetworkIoDirectionTransmit)
		b.RecordEtcdNetworkPeerTCPRetransmitsDataPoint(at, int64(peer.retransmitted), id)
		if mean := meanOf(rtt[peer]); mean > 0 {
			b.RecordEtcdNetworkPeerTCPRttDataPoint(at, mean.Seconds(), id)
		}
	}
	if p.clients != nil {
		recordClients(b, p.clients.received, metadata.AttributeNetworkIoDirectionReceive, p.since, now)
		recordClients(b, p.clients.sent, metadata.AttributeNetworkIoDirectionTransmit, p.since, now)
	}
}

func recordClients(b *metadata.MetricsBuilder, t *sketch.Top[netip.Addr], direction metadata.AttributeNetworkIoDirection, start, now time.Time) {
	recordTop(b, t, netip.Addr.String, func(at pcommon.Timestamp, n int64, address string) {
		b.RecordEtcdClientIoDataPoint(at, n, address, direction)
	}, start, now)
}

func meanOf(all []time.Duration) time.Duration {
	var sum time.Duration
	for _, d := range all {
		sum += d
	}
	return sum / time.Duration(max(len(all), 1))
}

// appendRTT makes the histogram that metadata.yaml cannot declare.
func appendRTT(to pmetric.MetricSlice, p *process, start, now pcommon.Timestamp) {
	points := appendHistogram(to, "etcd.network.tcp.rtt", "s",
		"Smoothed round trip of the connections on which something was received since the last collection, one count for each; takes BTF in the kernel (eBPF).")
	for f, t := range p.traffic {
		if t.rtt.sum > 0 {
			appendPoint(points, t.rtt, start, now).Attributes().PutStr("etcd.network.peer_type", f.String())
		}
	}
}
