// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"fmt"
	"net/netip"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

// Why TLS was not agreed upon: error.type.
const (
	NoCertificate   = "no_certificate"
	BadCertificate  = "bad_certificate"
	NotTLS          = "not_tls"
	RefusedByClient = "refused_by_client"
	OtherReason     = "_OTHER" // the convention's word for what is not known
)

// Refused is a connection to etcd on which TLS was not agreed upon.
type Refused struct {
	At      time.Time
	From    metadata.AttributeEtcdNetworkPeerType // whose port it came to
	Client  netip.AddrPort
	Process Process // that the client is, if it is of this host and has not closed first
	Reason  string
}

var refusedTexts = map[string]string{
	NoCertificate:   "it has shown no certificate",
	BadCertificate:  "its certificate is not accepted",
	NotTLS:          "it does not speak TLS",
	RefusedByClient: "it has refused what etcd offered",
}

// Refused appends the record of a connection that was refused.
func (b *Batch) Refused(r *Refused) {
	if !b.format.Events.EtcdConnectionRefused.Enabled {
		return
	}
	lr := b.add("etcd.connection.refused", plog.SeverityNumberWarn, 7)
	lr.SetTimestamp(pcommon.NewTimestampFromTime(r.At))
	attrs := lr.Attributes()
	attrs.PutStr("etcd.network.peer_type", r.From.String())
	attrs.PutStr("error.type", r.Reason)
	attrs.PutStr("client.address", r.Client.Addr().String())
	attrs.PutInt("client.port", int64(r.Client.Port()))
	r.Process.putClient(attrs)

	s := fmt.Appendf(b.scratch, "%s", r.Client.Addr())
	if r.Process != (Process{}) {
		s = fmt.Appendf(s, " (%s)", r.Process)
	}
	s = fmt.Appendf(s, " was refused at the port for %ss", r.From)
	if text := refusedTexts[r.Reason]; text != "" {
		s = append(append(s, ": "...), text...)
	}
	b.say(lr, s)
}
