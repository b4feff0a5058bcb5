// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"google.golang.org/grpc/codes"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/logrecord"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

const (
	// batchRecords and batchAge close a batch of one process.
	batchRecords = 512
	batchAge     = 200 * time.Millisecond
	// queueBatches is how many of them wait for a pipeline that refuses: about 60 MiB.
	// The ring must be read on; what has no room then is lost, counted and told.
	queueBatches = 128
)

// outbox makes log records of what was seen and hands them to the pipeline, for which
// it never waits.
type outbox struct {
	format   *logrecord.Format
	resource *resource.Builder
	queue    chan plog.Logs
	lost     func(stage string, n int64)
	open     map[*process]*openBatch
	untold   int64 // records that were lost and not told yet; the ring has others than of requests too
	limit    limit
}

type openBatch struct {
	*logrecord.Batch
	since time.Time
}

// add has something of a process appended.
func (o *outbox) add(p *process, now time.Time, appended func(*logrecord.Batch)) {
	b := o.open[p]
	if b == nil {
		b = &openBatch{o.format.NewBatch(p.resource(o.resource), now, batchRecords/4), now}
		o.open[p] = b
	}
	b.Observed(now)
	appended(b.Batch)
	if b.Len() >= batchRecords {
		o.close(p, b)
	}
}

// flush closes what is old enough, or everything.
func (o *outbox) flush(now time.Time, everything bool) {
	for p, b := range o.open {
		if everything || now.Sub(b.since) >= batchAge {
			o.close(p, b)
		}
	}
}

// close hands a batch on, and with it what was lost so far: traffic may end here.
func (o *outbox) close(p *process, b *openBatch) {
	delete(o.open, p)
	n, untold := int64(b.Len()), o.untold
	if untold > 0 && b.RequestsLost(untold) {
		o.untold = 0
	}
	if b.Len() == 0 {
		return // the user switched off what would be in it
	}
	select {
	case o.queue <- b.Logs():
	default:
		o.untold = untold + n
		o.lost(LostQueue, n)
	}
}

// deliver hands over until the queue is closed. What is left when ctx ends is lost:
// an offer that begins then could last for delivery.Grace, and so could each.
func (o *outbox) deliver(ctx context.Context, consume func(context.Context, plog.Logs) error) {
	for logs := range o.queue {
		if ctx.Err() != nil {
			o.lost(LostQueue, int64(logs.LogRecordCount()))
			continue
		}
		_ = consume(ctx, logs) // who delivers counts what is refused
	}
}

// describe makes of what the kernel told what a log record tells.
func (t *tracer) describe(p *process, q *request) *logrecord.Request {
	o := byCode(q.Operation)
	r := &logrecord.Request{
		Family: string(familyOther), Method: trimSlash(q.Method),
		ThreadID: t.programs.TID(q.TID), Client: q.Client, Process: t.caller(p, q.Client), User: string(q.User), Subject: string(q.Subject),
		ValueSize: q.ValueLen, TTL: logrecord.Absent, Action: logrecord.Absent, Count: logrecord.Absent,
		Revision: q.Revision, Failed: q.failed, Message: q.message, Incomplete: q.Partial || q.incomplete(),
	}
	r.Start, r.Duration = t.times(p, q)
	switch {
	case q.failed && q.known:
		r.Code = codeName(codes.Code(q.code))
	case !q.failed && q.Kind == bpf.KindRequest:
		r.Code = codeName(codes.OK)
	}
	if o != nil {
		r.Family, r.Operation, r.Method = string(o.family), o.name, o.method
		o.tell(r, q)
	}
	for i := range q.inner {
		in := &q.inner[i]
		r.Operations = append(r.Operations, logrecord.InnerOperation{
			Operation: inner[min(int(in.Operation), len(inner)-1)], Key: in.Key, End: in.End, ValueSize: in.ValueLen,
		})
	}
	return r
}

// times gives start and duration. Streams are told as they begin.
func (t *tracer) times(p *process, q *request) (start time.Time, took time.Duration) {
	if q.ByKtime {
		start, took = time.Unix(0, int64(q.Ext)+t.ahead), time.Duration(q.Time-q.Ext)
	} else {
		start, took = time.Unix(0, unixNano(q.Wall)), time.Duration(int64(q.Time)-int64(q.Ext)-p.is.StartNano)
	}
	if q.Kind == bpf.KindStream {
		return start, -1
	}
	return start, max(took, 0)
}

// tell puts the numbers and names of a request where they belong.
func (o *operation) tell(r *logrecord.Request, q *request) {
	switch o.keyIs {
	case isKey:
		r.Key, r.End, r.KeySize = q.Key, q.End, int(q.KeyLen)
		if o.family == familyWatch && q.EndLen == 0 {
			r.End = []byte{0} // etcd 3.4 has emptied it: all keys from this one
		}
	case isName:
		r.Name = string(q.Key)
	case isUser:
		r.AuthUser, r.AuthRole = string(q.Key), string(q.End)
	case isRole:
		r.AuthRole = string(q.Key)
	}
	switch o.numberIs {
	case isLease:
		r.LeaseID = max(q.Number, 0)
	case isTTL:
		r.TTL = q.Number
	case isRevision:
		r.At = q.Number
	case isMember:
		if q.Number != bpf.Unknown {
			r.MemberID = uint64(q.Number)
		}
	case isAction:
		r.Action = q.Number
	case isWatch:
		r.WatchID = q.Number
	case isAge:
		r.Duration = time.Duration(q.Number)
	}
	switch {
	case o.family == familyTxn:
		r.Succeeded = q.Answer == 1
	case o.name == "lease_grant":
		r.LeaseID = max(q.Answer, r.LeaseID)
	case o.name == "lease_time_to_live":
		r.TTL = q.Answer
	default:
		r.Count = q.Count
	}
}

// codeName is the code as the semantic conventions write it: PERMISSION_DENIED.
func codeName(c codes.Code) string {
	text, ok := codeNames[c]
	if !ok {
		return "UNKNOWN"
	}
	return text
}

var codeNames = map[codes.Code]string{
	codes.OK: "OK", codes.Canceled: "CANCELLED", codes.Unknown: "UNKNOWN", codes.InvalidArgument: "INVALID_ARGUMENT",
	codes.DeadlineExceeded: "DEADLINE_EXCEEDED", codes.NotFound: "NOT_FOUND", codes.AlreadyExists: "ALREADY_EXISTS",
	codes.PermissionDenied: "PERMISSION_DENIED", codes.ResourceExhausted: "RESOURCE_EXHAUSTED",
	codes.FailedPrecondition: "FAILED_PRECONDITION", codes.Aborted: "ABORTED", codes.OutOfRange: "OUT_OF_RANGE",
	codes.Unimplemented: "UNIMPLEMENTED", codes.Internal: "INTERNAL", codes.Unavailable: "UNAVAILABLE",
	codes.DataLoss: "DATA_LOSS", codes.Unauthenticated: "UNAUTHENTICATED",
}

// trimSlash makes etcdserverpb.KV/Put of /etcdserverpb.KV/Put.
func trimSlash(method []byte) string {
	if len(method) > 0 && method[0] == '/' {
		method = method[1:]
	}
	return string(method)
}
