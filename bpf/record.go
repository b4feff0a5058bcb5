// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"bytes"
	"fmt"
	"net/netip"
	"unsafe"
)

// Kind is what a record tells: record.h.
type Kind uint8

// The kinds of records.
const (
	KindRequest = Kind(etcdRecordKindRECORD_REQUEST)
	KindInner   = Kind(etcdRecordKindRECORD_INNER)
	KindFailure = Kind(etcdRecordKindRECORD_FAILURE)
	KindStream  = Kind(etcdRecordKindRECORD_STREAM)
	KindSync    = Kind(etcdRecordKindRECORD_SYNC)
	KindApplied = Kind(etcdRecordKindRECORD_APPLIED)
	KindExec    = Kind(etcdRecordKindRECORD_EXEC)
	KindExit    = Kind(etcdRecordKindRECORD_EXIT)

	KindConnection = Kind(etcdRecordKindRECORD_CONNECTION)
	KindHandshake  = Kind(etcdRecordKindRECORD_HANDSHAKE)
)

// Unknown is a number that a request does not have, or that could not be read.
const Unknown = -1

// Record is one record of the ring. Which of the fields it has depends on Kind.
// Slices lie in the bytes that were decoded.
type Record struct {
	Kind      Kind
	Operation uint8 // Operation.Code; of KindInner 1 put, 2 range, 3 delete, 4 txn, 0 unknown; of KindSync FileKind, of KindApplied an Applied constant, of KindHandshake a Handshake constant
	PID, TID  uint32
	Goroutine uint64 // 0 if it is not known
	Time      uint64 // ns of CLOCK_MONOTONIC, at the end; of a stream at the start

	Failed, Partial, Slow, Sampled bool
	Else                           bool // of KindInner: of the failure branch

	// Start, as Go's time.Time has it. ByKtime: Ext is ns of CLOCK_MONOTONIC.
	Wall, Ext uint64
	ByKtime   bool

	Cluster, Member uint64
	Revision        int64
	Number          int64 // what Operation.Number tells, or of KindInner the lease of a put, or what a delete deleted
	Count, Answer   int64
	ValueLen        int64
	KeyLen, EndLen  int32  // -1: none
	Key, End        []byte // the beginning, if they are longer
	Method          []byte // instead of Key if Operation is 0
	Client          netip.AddrPort
	User, Subject   []byte
	Index           uint32 // of KindInner, in its branch
	Port            uint16 // of KindHandshake: etcd's, to which Client has connected; 0 if it is not known
	Code            uint32 // of KindFailure: gRPC's
	Message         []byte // likewise

	ID uint64 // of KindApplied: that of the entry of the raft log. Number is the lease

	Connection *Connection // of KindConnection, else nil

	// Of KindSync:
	Duration uint64 // ns
	Written  uint64 // bytes since the last sync of the file, 0 if it is not known
	Device   uint32 // of the file system, as the kernel numbers it: see unix.Mkdev
	Disk     uint32 // below it, for Disk.Writers; 0: none
	Inode    uint64
	Name     []byte // of the file, without folders
}

// Decode reads one record. It does not keep raw, but the record does, which is
// the caller's to decode into and to use until raw changes. Any bytes are
// allowed: what is no record is an error.
func Decode(raw []byte, r *Record) error {
	if len(raw) < int(unsafe.Sizeof(etcdRequest{}.H)) {
		return fmt.Errorf("a record of %d bytes has no header", len(raw))
	}
	switch kind := Kind(raw[0]); kind {
	case KindRequest, KindStream:
		return decode(raw, r, decodeRequest)
	case KindInner:
		return decode(raw, r, decodeInner)
	case KindFailure:
		return decode(raw, r, decodeFailure)
	case KindSync:
		return decode(raw, r, decodeSync)
	case KindApplied:
		return decode(raw, r, decodeApplied)
	case KindConnection:
		return decode(raw, r, decodeConnection)
	case KindHandshake:
		return decode(raw, r, decodeHandshake)
	case KindExec, KindExit:
		return decode(raw, r, decodeHeader)
	default:
		return fmt.Errorf("a record of unknown kind %d", kind)
	}
}

// decode views raw as a struct of the programs: same machine, same byte order.
func decode[T any](raw []byte, r *Record, read func(*T, []byte, *Record)) error {
	var view T
	if len(raw) < int(unsafe.Sizeof(view)) {
		return fmt.Errorf("a record of kind %d has %d bytes, less than %d", raw[0], len(raw), unsafe.Sizeof(view))
	}
	if at := unsafe.Pointer(unsafe.SliceData(raw)); uintptr(at)%unsafe.Alignof(view) == 0 {
		read((*T)(at), raw, r)
		return nil
	}
	aligned := make([]uint64, (len(raw)+7)/8)
	whole := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(aligned))), len(raw))
	copy(whole, raw)
	read((*T)(unsafe.Pointer(unsafe.SliceData(aligned))), whole, r)
	return nil
}

func decodeRequest(q *etcdRequest, raw []byte, r *Record) {
	flags := etcdRecordFlags(q.H.Flags)
	*r = Record{
		Kind: Kind(q.H.Kind), Operation: q.H.Operation, PID: q.H.Tgid, TID: q.H.Tid, Goroutine: q.H.Goroutine, Time: q.H.Ktime,
		Failed: flags&etcdRecordFlagsREQUEST_FAILED != 0, Slow: flags&etcdRecordFlagsREQUEST_SLOW != 0,
		Partial: flags&etcdRecordFlagsREQUEST_PARTIAL != 0, Sampled: flags&etcdRecordFlagsREQUEST_SAMPLED != 0,
		ByKtime: flags&etcdRecordFlagsREQUEST_BY_KTIME != 0,
		Wall:    q.Wall, Ext: q.Ext, Cluster: q.Cluster, Member: q.Member, Revision: int64(q.Revision),
		Number: q.Number, Count: q.Count, Answer: q.Answer, ValueLen: q.ValueLen, KeyLen: q.KeyLen, EndLen: q.EndLen,
		User: cut(q.User[:], int(q.UserLen)), Subject: cut(q.Subject[:], int(q.SubjectLen)),
	}
	data := raw[unsafe.Offsetof(q.Data):]
	if half := len(data) &^ 15 / 2; half > 0 {
		r.Key, r.End = cut(data[:half], int(q.KeyKept)), cut(data[half:], int(q.EndKept))
	}
	if q.H.Operation == 0 {
		r.Method, r.Key, r.KeyLen = r.Key, nil, -1
	}
	client := cut(q.Client[:], int(q.ClientLen))
	if flags&etcdRecordFlagsREQUEST_TEXT_ADDR != 0 {
		r.Client, _ = netip.ParseAddrPort(string(client))
	} else if addr, ok := netip.AddrFromSlice(client); ok {
		r.Client = netip.AddrPortFrom(addr.Unmap(), q.ClientPort)
	}
}

func decodeInner(q *etcdInner, _ []byte, r *Record) {
	*r = Record{
		Kind: Kind(q.H.Kind), Operation: q.H.Operation, PID: q.H.Tgid, TID: q.H.Tid, Goroutine: q.H.Goroutine, Time: q.H.Ktime,
		Else: etcdRecordFlags(q.H.Flags)&etcdRecordFlagsINNER_ELSE != 0, Index: q.Index,
		Number: q.Number, Count: Unknown, Answer: Unknown, ValueLen: q.ValueLen, KeyLen: q.KeyLen, EndLen: q.EndLen,
	}
	half := len(q.Data) / 2
	r.Key, r.End = cut(q.Data[:half], int(q.KeyKept)), cut(q.Data[half:], int(q.EndKept))
}

func decodeFailure(q *etcdFailure, _ []byte, r *Record) {
	*r = Record{
		Kind: Kind(q.H.Kind), PID: q.H.Tgid, TID: q.H.Tid, Goroutine: q.H.Goroutine, Time: q.H.Ktime,
		Number: Unknown, Count: Unknown, Answer: Unknown, ValueLen: Unknown, KeyLen: -1, EndLen: -1,
		Code: q.Code, Message: cut(q.Message[:], int(q.MessageLen)),
	}
}

func decodeApplied(q *etcdApplied, _ []byte, r *Record) {
	*r = Record{
		Kind: Kind(q.H.Kind), Operation: q.H.Operation, PID: q.H.Tgid, TID: q.H.Tid, Goroutine: q.H.Goroutine, Time: q.H.Ktime,
		Revision: int64(q.Revision), ID: q.Id, Number: q.Lease, Count: Unknown, Answer: Unknown, ValueLen: Unknown, KeyLen: -1, EndLen: -1,
		User: cut(q.User[:], int(q.UserLen)),
	}
}

func decodeHandshake(q *etcdHandshake, _ []byte, r *Record) {
	*r = Record{
		Kind: Kind(q.H.Kind), Operation: q.H.Operation, PID: q.H.Tgid, TID: q.H.Tid, Goroutine: q.H.Goroutine, Time: q.H.Ktime,
		Number: Unknown, Count: Unknown, Answer: Unknown, ValueLen: Unknown, KeyLen: -1, EndLen: -1,
		Port: q.LocalPort, Message: cut(q.Text[:], int(q.TextLen)),
	}
	if remote := address(q.Remote[:], q.RemoteLen, q.RemotePort); remote.Addr().IsValid() {
		r.Client = remote
	}
}

func decodeSync(q *diskSync, _ []byte, r *Record) {
	*r = Record{
		Kind: Kind(q.H.Kind), Operation: q.H.Operation, PID: q.H.Tgid, TID: q.H.Tid, Time: q.H.Ktime,
		Number: Unknown, Count: Unknown, Answer: Unknown, ValueLen: Unknown, KeyLen: -1, EndLen: -1,
		Duration: q.Duration, Written: q.Written, Device: q.Device, Disk: q.Disk, Inode: q.Inode,
		Name: cut(q.Name[:], int(q.NameLen)),
	}
}

func decodeHeader(h *etcdHeader, _ []byte, r *Record) {
	*r = Record{
		Kind: Kind(h.Kind), PID: h.Tgid, TID: h.Tid, Time: h.Ktime,
		Number: Unknown, Count: Unknown, Answer: Unknown, ValueLen: Unknown, KeyLen: -1, EndLen: -1,
	}
}

// untilZero is a C string, in a field that it may fill.
func untilZero(field []byte) []byte {
	if end := bytes.IndexByte(field, 0); end >= 0 {
		return field[:end]
	}
	return field
}

// cut is the beginning of field; the length comes from outside.
func cut(field []byte, length int) []byte { return field[:min(max(length, 0), len(field))] }
