// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

// What the programs are told. The fields are described in binary.h and process.h.
type (
	Binary       = etcdBinary
	Operation    = etcdOperation
	OperationKey = etcdOperationKey
	Process      = etcdProcess
)

// None is an offset that there is not.
const None = 0xffff

// The layouts of the arguments of logUnaryRequestStats, Binary.Layout.
const (
	LayoutShort = uint8(etcdLayoutLAYOUT_SHORT)
	LayoutLong  = uint8(etcdLayoutLAYOUT_LONG)
	LayoutStack = uint8(etcdLayoutLAYOUT_STACK)
)

// What begins or ends where the probe of a stream is: Operation.Stream.
const (
	StreamWatch     = uint8(etcdStreamSTREAM_WATCH)
	StreamKeepAlive = uint8(etcdStreamSTREAM_KEEPALIVE)
	StreamSnapshot  = uint8(etcdStreamSTREAM_SNAPSHOT)
	StreamRange     = uint8(etcdStreamSTREAM_RANGE)
	StreamCancel    = uint8(etcdStreamSTREAM_CANCEL)
	StreamClose     = uint8(etcdStreamSTREAM_CLOSE)
)

// The operations of KindHandshake: which error it was.
const (
	HandshakeText        = uint8(etcdHandshakeErrorHANDSHAKE_TEXT)    // Record.Message is what it says
	HandshakeNetwork     = uint8(etcdHandshakeErrorHANDSHAKE_NETWORK) // Record.Message is what was being done
	HandshakeRecord      = uint8(etcdHandshakeErrorHANDSHAKE_RECORD)
	HandshakeCertificate = uint8(etcdHandshakeErrorHANDSHAKE_CERTIFICATE)
)

// The operations of KindApplied.
const (
	AppliedPut    = uint8(etcdAppliedOperationAPPLIED_PUT)
	AppliedDelete = uint8(etcdAppliedOperationAPPLIED_DELETE)
	AppliedTxn    = uint8(etcdAppliedOperationAPPLIED_TXN)
	AppliedRevoke = uint8(etcdAppliedOperationAPPLIED_REVOKE)
	AppliedGrant  = uint8(etcdAppliedOperationAPPLIED_GRANT)
	Revoking      = uint8(etcdAppliedOperationAPPLIED_REVOKING) // it is asked for, and not applied yet
)

// Program is one that can be attached.
type Program string

// What each is attached to is said in met.h, requests.h, failures.h, old.h, streams.h,
// applied.h and handshake.h. Those that are attached to several functions know them by
// their addresses, which are in Binary, or for streams in the keys of the operations.
const (
	RequestMet      Program = etcdProgRequestMet
	UnaryFailed     Program = etcdProgUnaryFailed
	UserFound       Program = etcdProgUserFound
	OldBegun        Program = etcdProgOldBegun
	OldMet          Program = etcdProgOldMet
	WriteMet        Program = etcdProgWriteMet
	HandshakeFailed Program = etcdProgHandshakeFailed
)
