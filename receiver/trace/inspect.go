// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package trace

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"

	"github.com/etcdreceiver/etcdreceiver/bpf"
	"github.com/etcdreceiver/etcdreceiver/internal/gobinary"
)

// executable is what the programs must know about one build of etcd.
type executable struct {
	build      gobinary.Build
	binary     bpf.Binary
	operations map[bpf.OperationKey]bpf.Operation // without the id of the binary
	probes     []bpf.Probe
	user       *bpf.Probe  // attached while auth is on; nil if it was not found
	applied    []bpf.Probe // attached while changes are tied to requests; empty if they were not found
	lacks      []string    // what cannot be told, and why
}

// inspect finds in an executable all that the probes need. It guesses nothing:
// what is not there as expected is left out and named in lacks, and without the
// requests themselves it is an error.
func inspect(file *gobinary.Binary, emits func(*operation) bool) (*executable, error) {
	x := &executable{build: file.Build(), operations: map[bpf.OperationKey]bpf.Operation{}}
	f := &finder{file: file, x: x}
	if err := f.requests(); err != nil {
		return nil, err
	}
	if err := f.messages(emits); err != nil {
		return nil, err
	}
	f.peer()
	f.failures()
	f.transactions()
	f.streams(emits)
	f.users()
	f.applied()
	f.handshakes()
	return x, nil
}

// The bytes of arguments of logUnaryRequestStats: a fingerprint of its signature.
const (
	argsShort = 88
	argsLong  = 96
)

// requests finds the end of unary requests.
func (f *finder) requests() error {
	served, err := f.function(fnServed)
	if err != nil {
		return fmt.Errorf("this is no etcd server that can be traced: %w", err)
	}
	f.old = !strings.Contains(served.Name, "/server/v")
	switch args := served.Args; {
	case args == argsShort && goMinor(f.x.build.GoVersion) <= 16:
		f.x.binary.Layout = bpf.LayoutStack
	case args == argsShort:
		f.x.binary.Layout = bpf.LayoutShort
	case args == argsLong:
		f.x.binary.Layout = bpf.LayoutLong
	default:
		return fmt.Errorf("%s has %d bytes of arguments, known are %d and %d: this version of etcd is unknown", served.Name, args, argsShort, argsLong)
	}
	if f.old {
		return f.oldRequests()
	}
	f.x.binary.Served, err = f.probe(bpf.RequestMet, served)
	return err
}

// oldRequests are those of etcd 3.4, which calls logUnaryRequestStats at debug
// level only: from the interceptor to gRPC's response.
func (f *finder) oldRequests() error {
	if f.x.binary.Layout == bpf.LayoutStack {
		return fmt.Errorf("etcd 3.4 of %s passes arguments on the stack, which is unknown here", f.x.build.GoVersion)
	}
	_, err := f.probeFunction(bpf.OldBegun, fnBegun)
	if err == nil {
		f.x.binary.Answered, err = f.probeFunction(bpf.OldMet, fnAnswered)
	}
	return err
}

// messages finds the requests and responses. Older versions do not have all.
func (f *finder) messages(emits func(*operation) bool) error {
	b := &f.x.binary
	var err error
	f.set(&err, &b.Cluster, "etcdserverpb.ResponseHeader", "ClusterId")
	f.set(&err, &b.Member, "etcdserverpb.ResponseHeader", "MemberId")
	f.set(&err, &b.Revision, "etcdserverpb.ResponseHeader", "Revision")
	if err != nil {
		return err
	}
	f.x.operations[bpf.OperationKey{}] = bpf.Operation{ // of a request that is not known the key is its method
		Emit: 1, End: bpf.None, Value: bpf.None, Number: bpf.None, Header: bpf.None, Count: bpf.None, Answer: bpf.None,
	}
	for i := range unary {
		o := &unary[i]
		request, err := f.file.Type(o.request)
		if err != nil {
			if !errors.Is(err, gobinary.ErrNotFound) || o.family == familyGet || o.family == familyPut || o.family == familyDelete || o.family == familyTxn {
				return err
			}
			continue
		}
		f.x.operations[bpf.OperationKey{Type: request.Pointer}] = f.operation(o, uint8(i+1), request, emits(o))
	}
	return nil
}

func (f *finder) operation(o *operation, code uint8, request *gobinary.Type, emit bool) bpf.Operation {
	is := bpf.Operation{Code: code}
	if emit {
		is.Emit = 1
	}
	if o.family == familyTxn {
		is.Txn = 1
	}
	is.Key, _ = f.part(o, request, o.key, texts...)
	is.End, _ = f.part(o, request, o.end, texts...)
	if is.Value, _ = f.part(o, request, o.value, texts...); is.Value != bpf.None {
		is.Value += lengthAt
	}
	is.Number, is.NumberSize = f.part(o, request, o.number, numbers...)
	var response *gobinary.Type
	if o.response != "" {
		var err error
		if response, err = f.file.Type(o.response); err != nil {
			f.lack("response of "+o.name, err)
		}
	}
	is.Header, _ = f.part(o, response, "Header", reflect.Pointer)
	if is.Count, is.CountSize = f.part(o, response, o.count, counts...); is.CountSize > wordSize {
		is.Count, is.CountSize = is.Count+lengthAt, wordSize
	}
	is.Answer, is.AnswerSize = f.part(o, response, o.answer, numbers...)
	return is
}

// peer finds the way from a context to the client.
func (f *finder) peer() {
	b := &f.x.binary
	b.PeerAuth, b.TcpPort = bpf.None, bpf.None
	key, err := f.file.Type("peer.peerKey")
	if err != nil {
		f.lack("client.address", err)
		return
	}
	b.PeerKey = key.Addr
	if tcp, err := f.file.Type("net.TCPAddr", "IP", "Port"); err != nil {
		f.lack("client.address without TLS", err)
	} else {
		b.TcpAddr = tcp.Pointer
		b.TcpPort, _ = f.field(tcp, "Port")
	}
	if text, err := f.file.Type("transport.strAddr"); err != nil {
		f.lack("client.address with TLS", err)
	} else {
		b.TextAddr = text.Addr
	}
	info, err := f.file.Type("credentials.TLSInfo", "State")
	if err == nil {
		b.TlsInfo = info.Addr
		b.TlsPeers, err = f.field(info, "State.PeerCertificates")
	}
	f.set(&err, &b.Subject, "x509.Certificate", "Subject.CommonName")
	f.set(&err, &b.PeerAuth, "peer.Peer", "AuthInfo")
	if err != nil {
		b.PeerAuth = bpf.None
		f.lack("tls.client.subject", err)
	}
}

// failures finds the functions that run for failed requests only.
func (f *finder) failures() {
	b := &f.x.binary
	failed := bpf.UnaryFailed
	if f.old {
		failed = bpf.OldMet
	}
	status, err := f.file.Type("status.Error")
	if err == nil {
		b.StatusDepth, err = f.statusDepth(status)
	}
	f.set(&err, &b.StatusCode, "status.Status", "Code")
	f.set(&err, &b.StatusMessage, "status.Status", "Message")
	if err == nil {
		var asked gobinary.Function
		if asked, err = f.function(fnStatusAsked); err == nil {
			if b.StatusAsked, err = f.probe(failed, asked); errors.Is(err, gobinary.ErrNoStackCheck) {
				b.StatusAsked, b.StatusUnchecked = asked.Entry, asked.Entry
				err = f.probeAt(failed, asked.Entry)
			}
		}
	}
	if err != nil {
		f.lack("rpc.response.status_code of failures", err)
	}
	deadline, err := f.file.Type("context.deadlineExceededError")
	if err == nil {
		b.Deadline = deadline.Addr
		var plain *gobinary.Type
		if plain, err = f.file.Type("errors.errorString"); err == nil {
			b.PlainError = plain.Pointer
			b.ContextAsked, err = f.probeFunction(failed, fnContextAsked)
		}
	}
	if err != nil {
		f.lack("rpc.response.status_code of requests that were given up", err)
	}
}

// statusDepth is how many pointers lead from an error to the message with the
// code: newer releases of gRPC wrap it in a struct of their own.
func (f *finder) statusDepth(t *gobinary.Type) (uint16, error) {
	for depth := uint16(1); depth <= 3 && len(t.Fields) > 0 && t.Fields[0].Offset == 0; depth++ {
		pointer, err := f.file.TypeAt(t.Fields[0].Type)
		if err != nil {
			return 0, err
		}
		if pointer.Kind != reflect.Pointer {
			break
		}
		if t, err = f.file.TypeAt(pointer.Elem); err != nil {
			return 0, err
		}
		if _, ok := t.Field("Code"); ok {
			return depth, nil
		}
	}
	return 0, errors.New("status.Error does not lead to a code")
}

// Of a string or a slice the first word says where it is, the second how long.
const (
	wordSize = 8
	lengthAt = wordSize
	textSize = 2 * wordSize
)

// transactions finds the operations in a transaction.
func (f *finder) transactions() {
	b := &f.x.binary
	var err error
	f.setKind(&err, &b.TxnSuccess, "etcdserverpb.TxnRequest", "Success", reflect.Slice)
	f.setKind(&err, &b.TxnFailure, "etcdserverpb.TxnRequest", "Failure", reflect.Slice)
	f.setKind(&err, &b.TxnSucceeded, "etcdserverpb.TxnResponse", "Succeeded", reflect.Bool)
	f.setKind(&err, &b.TxnResponses, "etcdserverpb.TxnResponse", "Responses", reflect.Slice)
	f.setKind(&err, &b.ResponseOp, "etcdserverpb.ResponseOp", "Response", reflect.Interface)
	f.setKind(&err, &b.Deleted, "etcdserverpb.DeleteRangeResponse", "Deleted", words...)
	f.setKind(&err, &b.Operation, "etcdserverpb.RequestOp", "Request", reflect.Interface)
	text := func(name, path string) (offset uint16) {
		f.setKind(&err, &offset, name, path, texts...)
		return offset
	}
	var lease uint16
	f.setKind(&err, &lease, "etcdserverpb.PutRequest", "Lease", words...)
	inner := map[string]bpf.Operation{
		"Put": {
			Code: 1, Key: text("etcdserverpb.PutRequest", "Key"), KeySize: textSize,
			Value: text("etcdserverpb.PutRequest", "Value") + lengthAt, ValueSize: wordSize,
			Number: lease, NumberSize: wordSize,
		},
		"Range": {
			Code: 2, Key: text("etcdserverpb.RangeRequest", "Key"), KeySize: textSize,
			End: text("etcdserverpb.RangeRequest", "RangeEnd"), EndSize: textSize,
		},
		"DeleteRange": {
			Code: 3, Key: text("etcdserverpb.DeleteRangeRequest", "Key"), KeySize: textSize,
			End: text("etcdserverpb.DeleteRangeRequest", "RangeEnd"), EndSize: textSize,
			AnswerSize: wordSize,
		},
		"Txn": {Code: 4},
	}
	of := map[bpf.OperationKey]bpf.Operation{}
	for name, is := range inner {
		wrapper, e := f.file.Type("etcdserverpb.RequestOp_Request" + name)
		if e != nil {
			err = errors.Join(err, e)
			continue
		}
		of[bpf.OperationKey{Type: wrapper.Pointer}] = is
	}
	if err != nil {
		f.lack("operations of transactions", err)
		return
	}
	maps.Copy(f.x.operations, of)
}

// users finds where etcd has found out who the user of a request is.
func (f *finder) users() {
	err := func() error {
		if f.x.binary.Layout == bpf.LayoutStack {
			return errors.New("builds of Go 1.16 do not tell the goroutine")
		}
		function, err := f.function(fnUserAsked)
		if err != nil {
			return err
		}
		branches, err := f.file.Branches(function)
		if err != nil {
			return err
		}
		called := false
		for _, b := range branches {
			switch {
			case b.Kind == gobinary.Call || b.Kind == gobinary.IndirectCall:
				called = true
			case called && b.Kind == gobinary.JumpNotEqual:
				at, err := f.place(bpf.UserFound, b.Addr)
				f.x.user = &at
				return err
			}
		}
		return fmt.Errorf("%s does not look as expected", function.Name)
	}()
	if err != nil {
		f.lack("user.name", err)
	}
}
