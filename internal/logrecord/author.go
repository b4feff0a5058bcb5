// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"net/netip"
	"time"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// Author is who made a change, as far as it is known.
type Author struct {
	Source    metadata.AttributeEtcdAuthorSource
	Operation string
	User      string // of etcd
	Subject   string // common name of the client's certificate
	Client    netip.AddrPort
	Process   Process       // that the client is, if it is of this host
	Duration  time.Duration // of the request, negative if it is not known
	// MemberID that served the request, if it is another one than those traced here.
	MemberID uint64
	// LeaseID that expired, and when the author was granted it.
	LeaseID int64
	Granted time.Time
}

// Sign adds to a record of a change who made it. nr is its number in the batch.
func (b *Batch) Sign(nr int, a *Author) {
	lr := b.records.At(nr)
	attrs := lr.Attributes()
	before := attrs.Len()
	attrs.EnsureCapacity(before + 11)
	attrs.PutStr("etcd.author.source", a.Source.String())
	putText(attrs, "db.operation.name", a.Operation)
	putText(attrs, "user.name", printable([]byte(a.User)))
	putText(attrs, "tls.client.subject", printable([]byte(a.Subject)))
	if a.Client.IsValid() {
		attrs.PutStr("client.address", a.Client.Addr().String())
		attrs.PutInt("client.port", int64(a.Client.Port()))
	}
	a.Process.putClient(attrs)
	direct := b.format.Kubernetes.passedBy(a, attrs)
	if direct {
		attrs.PutBool("etcd.kubernetes.direct", true)
	}
	if a.Duration >= 0 {
		attrs.PutDouble("etcd.request.duration", a.Duration.Seconds())
	}
	if a.MemberID != 0 {
		attrs.PutStr("etcd.author.member_id", resource.ID(a.MemberID))
	}
	if a.LeaseID != 0 {
		attrs.PutStr("etcd.author.lease_id", resource.ID(uint64(a.LeaseID)))
	}
	if !a.Granted.IsZero() {
		attrs.PutStr("etcd.author.lease_granted", a.Granted.UTC().Format(time.RFC3339Nano))
	}
	b.bytes += (attrs.Len()-before)*attributeBytes + len(a.Operation) + len(a.User) + len(a.Subject) + len(a.Process.Name)
	if b.format.Body {
		b.bytes -= len(lr.Body().Str())
		b.scratch = a.sentence(append(b.scratch[:0], lr.Body().Str()...))
		if direct {
			b.scratch = append(b.scratch, ", past the API server"...)
		}
		b.bytes += len(b.scratch)
		lr.Body().SetStr(string(b.scratch))
	}
}

// sentence goes on: put /config/db rev 7 (3 B, version 1) by alice@10.0.0.17 in 1.2ms.
func (a *Author) sentence(s text) text {
	known := a.User != "" || a.Subject != "" || a.Client.IsValid()
	if a.LeaseID != 0 {
		s.words(" by the end of lease ")
		s.words(resource.ID(uint64(a.LeaseID)))
		if known {
			s.words(" of ")
		}
	} else if known {
		s.words(" by ")
	}
	if known {
		s.who(a.User, a.Subject, a.Client, a.Process)
	}
	if a.Duration >= 0 {
		s.words(" in ")
		s.words(brief(a.Duration))
	}
	if a.MemberID != 0 {
		s.words(" via member ")
		s.words(resource.ID(a.MemberID))
	}
	return s
}

// who writes user, address and process: alice@127.0.0.1 (etcdctl[4711]).
func (t *text) who(user, subject string, client netip.AddrPort, of Process) {
	if user == "" {
		user = subject
	}
	switch {
	case user != "" && client.IsValid():
		t.key([]byte(user))
		t.words("@")
		*t = client.Addr().AppendTo(*t)
	case user != "":
		t.key([]byte(user))
	case client.IsValid():
		*t = client.Addr().AppendTo(*t)
	default:
		t.words("somebody")
	}
	if of != (Process{}) {
		t.words(" (")
		t.words(of.String())
		t.words(")")
	}
}
