// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package logrecord

import (
	"bytes"
	"net/netip"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// The operations of which more is told than of others.
const (
	watchCancel = "watch_cancel"
	watchClose  = "watch_close"
)

// Absent is a number that a request does not have.
const Absent = -1

// Request is a request as etcd has served it. Its slices are only read.
type Request struct {
	Family    string // names the event: get, put, delete, txn, compact, watch, lease, auth, member, maintenance, lock, other
	Operation string // "" if the kind of request is not known
	Method    string

	Start    time.Time
	Duration time.Duration // negative: a stream, told as it begins; of watch_close how long it lasted
	ThreadID uint32
	Client   netip.AddrPort
	Process  Process // that the client is, if it is of this host
	User     string  // of etcd
	Subject  string  // common name of the client's certificate

	Key, End  []byte
	KeySize   int   // of the whole key
	ValueSize int64 // Absent: it has no value
	LeaseID   int64 // 0: none
	TTL       int64 // seconds, or Absent
	At        int64 // revision that it names, 0: none
	MemberID  uint64
	Action    int64 // or Absent
	WatchID   int64 // of watch_cancel
	Name      string
	AuthUser  string
	AuthRole  string

	Revision   int64 // of the answer, 0: none
	Count      int64 // of the answer, or Absent
	Failed     bool
	Code       string // gRPC's, "" if it was lost
	Message    string
	Incomplete bool

	Succeeded  bool // of a transaction: which branch ran
	Operations []InnerOperation
}

// InnerOperation is an operation of the branch of a transaction that ran.
type InnerOperation struct {
	Operation string // put, range, delete_range, txn; "" if it is not known
	Key, End  []byte
	ValueSize int64
}

// Request appends the record of a request. It tells false if the user switched it
// off.
func (b *Batch) Request(q *Request) bool {
	if !b.enabled(q.Family) {
		return false
	}
	severity := plog.SeverityNumberInfo
	if q.Failed {
		severity = plog.SeverityNumberWarn
	}
	lr := b.add("etcd.request."+q.Family, severity, 22)
	lr.SetTimestamp(pcommon.NewTimestampFromTime(q.Start))
	q.put(lr.Attributes())
	b.say(lr, q.sentence(b.scratch))
	return true
}

func (b *Batch) enabled(family string) bool {
	e := &b.format.Events
	switch family {
	case "get":
		return e.EtcdRequestGet.Enabled
	case "put":
		return e.EtcdRequestPut.Enabled
	case "delete":
		return e.EtcdRequestDelete.Enabled
	case "txn":
		return e.EtcdRequestTxn.Enabled
	case "compact":
		return e.EtcdRequestCompact.Enabled
	case "watch":
		return e.EtcdRequestWatch.Enabled
	case "lease":
		return e.EtcdRequestLease.Enabled
	case "auth":
		return e.EtcdRequestAuth.Enabled
	case "member":
		return e.EtcdRequestMember.Enabled
	case "maintenance":
		return e.EtcdRequestMaintenance.Enabled
	case "lock":
		return e.EtcdRequestLock.Enabled
	default:
		return e.EtcdRequestOther.Enabled
	}
}

func (q *Request) put(attrs pcommon.Map) {
	attrs.PutStr("db.system.name", "etcd")
	putText(attrs, "db.operation.name", q.Operation)
	putText(attrs, "rpc.method", q.Method)
	putText(attrs, "rpc.response.status_code", q.Code)
	if q.Failed {
		code := q.Code
		if code == "" {
			code = "_OTHER" // the convention's word for what is not known
		}
		attrs.PutStr("error.type", code)
		putText(attrs, "etcd.request.message", printable([]byte(q.Message)))
	}
	if q.Client.IsValid() {
		attrs.PutStr("client.address", q.Client.Addr().String())
		attrs.PutInt("client.port", int64(q.Client.Port()))
	}
	q.Process.putClient(attrs)
	putText(attrs, "user.name", printable([]byte(q.User)))
	putText(attrs, "tls.client.subject", printable([]byte(q.Subject)))
	if q.ThreadID != 0 {
		attrs.PutInt("thread.id", int64(q.ThreadID))
	}
	if q.Duration >= 0 {
		attrs.PutDouble("etcd.request.duration", q.Duration.Seconds())
	}
	if q.Revision > 0 {
		attrs.PutInt("etcd.revision", q.Revision)
	}
	if q.Count >= 0 {
		attrs.PutInt("etcd.response.count", q.Count)
	}
	if q.Incomplete {
		attrs.PutBool("etcd.request.incomplete", true)
	}
	q.putWhat(attrs)
}

// putWhat tells what the request is about.
func (q *Request) putWhat(attrs pcommon.Map) {
	putText(attrs, "etcd.key", printable(q.Key))
	if q.KeySize > len(q.Key) {
		attrs.PutInt("etcd.key_size", int64(q.KeySize))
		attrs.PutBool("etcd.key_truncated", true)
	}
	putText(attrs, "etcd.range_end", printable(q.End))
	if q.ValueSize >= 0 {
		attrs.PutInt("etcd.kv.value_size", q.ValueSize)
	}
	if q.LeaseID != 0 {
		attrs.PutStr("etcd.lease.id", resource.ID(uint64(q.LeaseID)))
	}
	if q.TTL >= 0 {
		attrs.PutInt("etcd.lease.ttl", q.TTL)
	}
	if q.At > 0 {
		attrs.PutInt("etcd.request.revision", q.At)
	}
	if q.MemberID != 0 {
		attrs.PutStr("etcd.request.member_id", resource.ID(q.MemberID))
	}
	if q.Operation == watchCancel {
		attrs.PutInt("etcd.watch.id", q.WatchID)
	}
	if q.Action >= 0 {
		attrs.PutInt("etcd.request.action", q.Action)
	}
	putText(attrs, "etcd.request.name", printable([]byte(q.Name)))
	putText(attrs, "etcd.auth.user", printable([]byte(q.AuthUser)))
	putText(attrs, "etcd.auth.role", printable([]byte(q.AuthRole)))
	if q.Family == "txn" && !q.Failed {
		q.putTransaction(attrs)
	}
}

func (q *Request) putTransaction(attrs pcommon.Map) {
	branch := metadata.AttributeEtcdTxnBranchFailure
	if q.Succeeded {
		branch = metadata.AttributeEtcdTxnBranchSuccess
	}
	attrs.PutStr("etcd.txn.branch", branch.String())
	operations := attrs.PutEmptySlice("etcd.txn.operations")
	keys := attrs.PutEmptySlice("etcd.txn.keys")
	var s text
	for i := range q.Operations {
		o := &q.Operations[i]
		s = s[:0]
		s.inner(o)
		operations.AppendEmpty().SetStr(string(s))
		if o.Operation == "put" || o.Operation == "delete_range" {
			keys.AppendEmpty().SetStr(printable(o.Key))
		}
	}
}

func putText(attrs pcommon.Map, name, value string) {
	if value != "" {
		attrs.PutStr(name, value)
	}
}

// printable is a text that is UTF-8 whatever it was.
func printable(raw []byte) string { return string(appendKey(nil, raw)) }

// sentence: deploy-bot@10.0.0.17 put /config/db/5 (13 B) -> rev 985 in 41.8 ms.
func (q *Request) sentence(s text) text {
	s.who(q.User, q.Subject, q.Client, q.Process)
	s.words(" ")
	s.words(q.what())
	q.objects(&s)
	switch {
	case q.Failed:
		s.words(" failed")
		if q.Code != "" {
			s.words(": ")
			s.words(q.Code)
		}
		if q.Message != "" {
			s.words(" (")
			s.key([]byte(q.Message))
			s.words(")")
		}
	case q.Duration < 0:
	case q.Operation == watchClose:
		s.words(" after ")
		s.words(brief(q.Duration))
		return s
	case q.Family == "get" && q.Count >= 0:
		s.words(" -> ")
		s.number(q.Count)
		s.words(" keys at rev ")
		s.number(q.Revision)
	case q.Family == "delete" && q.Count >= 0:
		s.words(" -> ")
		s.number(q.Count)
		s.words(" keys, rev ")
		s.number(q.Revision)
	case q.Revision > 0:
		s.words(" -> rev ")
		s.number(q.Revision)
	}
	if q.Duration >= 0 {
		s.words(" in ")
		s.words(brief(q.Duration))
	}
	return s
}

func (q *Request) what() string {
	if q.Operation == "" {
		return q.Method
	}
	return strings.ReplaceAll(q.Operation, "_", " ")
}

func (q *Request) objects(s *text) {
	word := func(w string) {
		if w != "" {
			s.words(" ")
			s.words(w)
		}
	}
	if len(q.Key) > 0 {
		s.words(" ")
		s.keys(q.Key, q.End)
	}
	if q.ValueSize >= 0 {
		s.words(" (")
		s.number(q.ValueSize)
		s.words(" B)")
	}
	word(printable([]byte(q.Name)))
	word(printable([]byte(q.AuthUser)))
	word(printable([]byte(q.AuthRole)))
	if q.Family == "lease" && q.LeaseID != 0 {
		word(resource.ID(uint64(q.LeaseID)))
	}
	if q.Operation == watchCancel {
		s.words(" ")
		s.number(q.WatchID)
	}
	if q.MemberID != 0 {
		word(resource.ID(q.MemberID))
	}
	if q.At > 0 {
		s.words(" at ")
		s.number(q.At)
	}
	for i := range q.Operations {
		if i == maxSaid {
			s.words(", ...")
			break
		}
		if i > 0 {
			s.words(",")
		}
		s.words(" ")
		s.inner(&q.Operations[i])
	}
}

// maxSaid is how many operations of a transaction its sentence has.
const maxSaid = 3

func (t *text) inner(o *InnerOperation) {
	switch o.Operation {
	case "":
		t.words("?")
	case "delete_range":
		t.words("delete")
	default:
		t.words(o.Operation)
	}
	if len(o.Key) > 0 {
		t.words(" ")
		t.keys(o.Key, o.End)
	}
	if o.ValueSize >= 0 {
		t.words(" (")
		t.number(o.ValueSize)
		t.words(" B)")
	}
}

// keys writes a key, or a range of them as people think of it: a prefix where it
// is one.
func (t *text) keys(key, end []byte) {
	switch {
	case len(end) == 1 && end[0] == 0 && len(key) == 1 && key[0] == 0:
		t.words("all keys")
	case len(end) == 0:
		t.key(key)
	case isPrefix(key, end):
		t.key(key)
		t.words("*")
	default:
		t.key(key)
		t.words("..")
		t.key(end)
	}
}

// isPrefix tells whether end is what follows all keys that begin with key: its
// last byte that can be is one higher, and those after it are left out.
func isPrefix(key, end []byte) bool {
	last := len(end) - 1
	if last < 0 || last >= len(key) || !bytes.Equal(key[:last], end[:last]) || key[last]+1 != end[last] {
		return false
	}
	for _, b := range key[last+1:] {
		if b != 0xff {
			return false
		}
	}
	return true
}

// brief is a duration with three digits.
func brief(d time.Duration) string {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit).String()
}
