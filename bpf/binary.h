/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What the programs are told of executables: where things lie in them.
 */
#pragma once

#include "process.h"

#define NONE 0xffff /* an offset that there is not */

/* How logUnaryRequestStats gets its arguments. */
enum layout {
	LAYOUT_SHORT = 1, /* registers; no warnLatency: 3.5 and before */
	LAYOUT_LONG,	  /* registers; with warnLatency: 3.6 and later */
	LAYOUT_STACK,	  /* Go 1.16: all on the stack; no warnLatency */
};

/* An executable, read by internal/gobinary. Offsets are in bytes, types are addresses as linked. */
struct binary {
	__u64 peer_key;	   /* type of the key under which gRPC keeps the peer in a context */
	__u64 tcp_addr;	   /* *net.TCPAddr */
	__u64 text_addr;   /* transport.strAddr */
	__u64 tls_info;	   /* credentials.TLSInfo */
	__u64 deadline;    /* context.deadlineExceededError */
	__u64 plain_error; /* *errors.errorString */
	__u64 tcp_conn;	   /* *net.TCPConn */
	__u64 tcp_kept;	   /* *transport.keepAliveConn, which begins with a *net.TCPConn */
	__u64 op_error;	   /* *net.OpError */
	__u64 permanent_error;	 /* *tls.permanentError, which wraps another one */
	__u64 record_error;	 /* tls.RecordHeaderError */
	__u64 certificate_error; /* *tls.CertificateVerificationError */
	__u64 hostname_error;	 /* x509.HostnameError */
	/* Of probes whose program has several: 0 if there is none. */
	__u64 served;		/* v3rpc.logUnaryRequestStats */
	__u64 answered;		/* 3.4: grpc.(*Server).sendResponse */
	__u64 context_asked;	/* status.FromContextError */
	__u64 status_asked;	/* (*Error).GRPCStatus */
	__u64 status_unchecked; /* the same, if it has no stack check */
	__u64 entry_applied;	/* (*uberApplier).dispatch; before 3.6 (*applierV3backend).Apply */
	__u64 watchers_told;	/* (*watchableStore).notify */
	__u64 lease_revoking;	/* (*LeaseServer).LeaseRevoke */
	__u16 peer_auth;   /* peer.Peer.AuthInfo */
	__u16 tls_peers;   /* credentials.TLSInfo.State.PeerCertificates */
	__u16 subject;	   /* x509.Certificate.Subject.CommonName */
	__u16 tcp_port;	   /* net.TCPAddr.Port */
	__u16 cluster, member, revision; /* of a response's header */
	__u16 status_code, status_message;
	__u16 status_depth; /* how many pointers lie between an error and that status */
	__u16 watch_stream; /* v3rpc.serverWatchStream.gRPCStream */
	__u16 watchers;	    /* v3rpc.serverWatchStream.watchStream */
	__u16 operation;    /* RequestOp.Request */
	__u16 txn_success, txn_failure, txn_succeeded, txn_responses;
	__u16 response_op, deleted; /* ResponseOp.Response, DeleteRangeResponse.Deleted */
	__u16 entry_header, entry_put, entry_delete, entry_txn, entry_revoke, entry_grant; /* InternalRaftRequest */
	__u16 header_id, header_user; /* RequestHeader */
	__u16 revoke_id, grant_id; /* LeaseRevokeRequest.ID, LeaseGrantRequest.ID */
	__u16 tls_conn;		   /* tls.Conn.conn */
	__u16 fd_local, fd_remote; /* net.netFD */
	__u8 layout;	    /* enum layout */
	__u8 entry_wrapped; /* 1: what is applied is a struct whose first word is the entry, since 3.7 */
	__u8 reserved[2];
};

/* A kind of request, or of an operation in a transaction. */
struct operation {
	__u8 code;
	__u8 emit;	/* 1: a record for each; else only for what fails, is slow or is sampled */
	__u8 txn;
	__u8 number_size, count_size, answer_size; /* 8, 4 or 1 bytes */
	__u8 key_size, end_size, value_size;	   /* of an operation in a transaction: 16, 16, 8, or 0 if it has none */
	__u16 key, end; /* in the request: a slice or a string; of operation 0 key is in the method's place */
	__u16 value;	/* in the request: its length */
	__u16 number;	/* in the request */
	__u16 header, count, answer;   /* in the response */
	__u8 stream; /* enum stream; 0: a unary request */
};

struct operation_key {
	/* Addresses as linked: of the type of the request, or of what wraps the operation, a pointer type; of the probe of a
	 * stream. 0: of those that have no other. */
	__u64 type;
	__u32 binary;
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PROCESSES_MAX);
	__type(key, __u32);
	__type(value, struct binary);
} binaries SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PROCESSES_MAX * 64);
	__type(key, struct operation_key);
	__type(value, struct operation);
} operations SEC(".maps");
