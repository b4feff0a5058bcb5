// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"net/netip"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// raw is a struct as it lies in the ring, with room for more data.
func raw[T any](v T, more int) []byte {
	return append(unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v)), make([]byte, more)...)
}

func TestARequestIsDecodedFieldByField(t *testing.T) {
	q := etcdRequest{
		Wall: 1, Ext: 2, Cluster: 3, Member: 4, Revision: 5, Number: 6, Count: 7, Answer: 8, ValueLen: 9,
		KeyLen: 300, EndLen: 3, KeyKept: 4, EndKept: 3, ClientPort: 2379, ClientLen: 16, UserLen: 5, SubjectLen: 2,
	}
	q.H.Kind, q.H.Operation, q.H.Tgid, q.H.Tid, q.H.Goroutine, q.H.Ktime = 1, 2, 11, 12, 13, 14
	q.H.Flags = uint16(etcdRecordFlagsREQUEST_FAILED | etcdRecordFlagsREQUEST_SLOW)
	copy(q.Client[:], netip.MustParseAddr("::ffff:10.0.0.17").AsSlice())
	copy(q.User[:], "alice")
	copy(q.Subject[:], "cn")
	copy(q.Data[:], "/key")
	copy(q.Data[len(q.Data)/2:], "end")
	var r Record
	require.NoError(t, Decode(raw(q, 0), &r))
	assert.Equal(t, Record{
		Kind: KindRequest, Operation: 2, PID: 11, TID: 12, Goroutine: 13, Time: 14, Failed: true, Slow: true,
		Wall: 1, Ext: 2, Cluster: 3, Member: 4, Revision: 5, Number: 6, Count: 7, Answer: 8, ValueLen: 9, KeyLen: 300, EndLen: 3,
		Key: []byte("/key"), End: []byte("end"), Client: netip.MustParseAddrPort("10.0.0.17:2379"), User: []byte("alice"), Subject: []byte("cn"),
	}, r)
}

func TestAnAppliedWriteIsDecodedFieldByField(t *testing.T) {
	a := etcdApplied{Revision: 5, Id: 0xabcd << 48, Lease: 7, UserLen: 5}
	a.H.Kind, a.H.Operation, a.H.Tgid, a.H.Tid, a.H.Goroutine, a.H.Ktime = uint8(KindApplied), AppliedRevoke, 11, 12, 13, 14
	copy(a.User[:], "alice")
	var r Record
	require.NoError(t, Decode(raw(a, 0), &r))
	assert.Equal(t, Record{
		Kind: KindApplied, Operation: AppliedRevoke, PID: 11, TID: 12, Goroutine: 13, Time: 14, Revision: 5, ID: 0xabcd << 48, Number: 7,
		Count: Unknown, Answer: Unknown, ValueLen: Unknown, KeyLen: -1, EndLen: -1, User: []byte("alice"),
	}, r)
}

func TestAConnectionIsDecodedFieldByField(t *testing.T) {
	c := networkConnection{
		Socket: 1, Received: 2, Sent: 3, RttUs: 4, Retransmitted: 5, Error: uint32(syscall.ECONNRESET), Unanswered: 6, Network: 7,
		LocalPort: 2379, RemotePort: 50718, Role: uint8(RoleAccepted), Established: 1, AddressLen: 16,
	}
	c.H.Kind, c.H.Operation, c.H.Tgid, c.H.Ktime = uint8(KindConnection), ConnectionClosed, 11, 14
	copy(c.Local[:], netip.MustParseAddr("::ffff:10.0.0.1").AsSlice())
	copy(c.Remote[:], netip.MustParseAddr("fd00::17").AsSlice())
	copy(c.Name[:], "etcdctl")
	var r Record
	require.NoError(t, Decode(raw(c, 0), &r))
	assert.Equal(t, Record{
		Kind: KindConnection, Operation: ConnectionClosed, PID: 11, Time: 14,
		Number: Unknown, Count: Unknown, Answer: Unknown, ValueLen: Unknown, KeyLen: -1, EndLen: -1,
		Connection: &Connection{
			Role: RoleAccepted, Socket: 1, Network: 7, Local: netip.MustParseAddrPort("10.0.0.1:2379"), Remote: netip.MustParseAddrPort("[fd00::17]:50718"),
			Established: true, Received: 2, Sent: 3, Retransmitted: 5, Unanswered: 6, RTT: 4 * time.Microsecond, Error: syscall.ECONNRESET,
			Process: []byte("etcdctl"),
		},
	}, r)
}

func TestAFailedHandshakeIsDecodedFieldByField(t *testing.T) {
	s := etcdHandshake{LocalPort: 2379, RemotePort: 50718, RemoteLen: 16, TextLen: 3}
	s.H.Kind, s.H.Operation, s.H.Tgid, s.H.Tid, s.H.Goroutine, s.H.Ktime = uint8(KindHandshake), HandshakeText, 11, 12, 13, 14
	copy(s.Remote[:], netip.MustParseAddr("::ffff:10.0.0.17").AsSlice())
	copy(s.Text[:], "EOF")
	want := Record{
		Kind: KindHandshake, Operation: HandshakeText, PID: 11, TID: 12, Goroutine: 13, Time: 14,
		Number: Unknown, Count: Unknown, Answer: Unknown, ValueLen: Unknown, KeyLen: -1, EndLen: -1,
		Client: netip.MustParseAddrPort("10.0.0.17:50718"), Port: 2379, Message: []byte("EOF"),
	}
	var r Record
	require.NoError(t, Decode(raw(s, 0), &r))
	assert.Equal(t, want, r)
	s.RemoteLen, want.Client = 0, netip.AddrPort{}
	require.NoError(t, Decode(raw(s, 0), &r))
	assert.Equal(t, want, r, "of a Unix socket")
}

func TestAnAddressMayBeText(t *testing.T) {
	q := etcdRequest{ClientLen: 15}
	q.H.Kind, q.H.Operation, q.H.Flags = 1, 2, uint16(etcdRecordFlagsREQUEST_TEXT_ADDR)
	copy(q.Client[:], "[fe80::1]:50718")
	var r Record
	require.NoError(t, Decode(raw(q, 0), &r))
	assert.Equal(t, netip.MustParseAddrPort("[fe80::1]:50718"), r.Client)
}

func TestARequestOfAnUnknownKindTellsItsMethod(t *testing.T) {
	q := etcdRequest{KeyKept: 7}
	q.H.Kind = 1
	copy(q.Data[:], "/a.B/CD")
	var r Record
	require.NoError(t, Decode(raw(q, 0), &r))
	assert.Equal(t, "/a.B/CD", string(r.Method))
	assert.Empty(t, r.Key)
}

func TestWhatIsNoRecordIsAnError(t *testing.T) {
	var r Record
	assert.ErrorContains(t, Decode(nil, &r), "no header")
	short := etcdRequest{}
	short.H.Kind = 1
	assert.ErrorContains(t, Decode(raw(short, 0)[:100], &r), "less than")
	short.H.Kind = 99
	assert.ErrorContains(t, Decode(raw(short, 0), &r), "unknown kind 99")
}

func FuzzDecodeReadsNoByteThatIsNotThere(f *testing.F) {
	for kind := range uint8(KindHandshake) + 1 {
		q := etcdRequest{}
		q.H.Kind = kind
		f.Add(raw(q, 0))
		f.Add(raw(q, 448))
		q.KeyKept, q.EndKept, q.ClientLen, q.UserLen, q.SubjectLen = 0xffff, 0xffff, 0xff, 0xff, 0xff
		f.Add(raw(q, 448))
		f.Add(raw(q, 3)[1:]) // not aligned
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		var r Record
		if Decode(bytes, &r) != nil {
			return
		}
		require.Equal(t, r.Kind == KindConnection, r.Connection != nil)
		for _, field := range [][]byte{r.Key, r.End, r.Method, r.User, r.Subject, r.Message} {
			require.LessOrEqual(t, len(field), len(bytes))
		}
	})
}
