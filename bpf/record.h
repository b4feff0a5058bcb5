/* Copyright The etcdreceiver Authors
 * SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What the programs write into the ring. record.go reads it; a test holds its offsets against the BTF of these structs.
 * All numbers are of the host's byte order. Lengths are those of etcd; "kept" is how much of it lies in data.
 */
#pragma once

#include "kernel.h"

enum record_kind {
	RECORD_REQUEST = 1, /* struct request: a unary request as etcd has served it */
	RECORD_INNER,	    /* struct inner: an operation of the transaction whose record came last on this goroutine */
	RECORD_FAILURE,	    /* struct failure: why the request failed whose record came last on this goroutine */
	RECORD_STREAM,	    /* struct request: a request on a stream, as it begins */
	RECORD_SYNC,	    /* struct sync: a slow sync of a file */
	RECORD_APPLIED,	    /* struct applied: a member has applied a write */
	RECORD_EXEC,	    /* struct header: a process of the host runs another program now */
	RECORD_EXIT,	    /* struct header: a process that is traced has ended */
	RECORD_CONNECTION,  /* struct connection: a TCP connection of etcd, or to it from this host */
	RECORD_HANDSHAKE,   /* struct handshake: TLS was not agreed upon with who connected to etcd */
};

enum record_flags {
	REQUEST_FAILED = 1 << 0,     /* there is no response */
	REQUEST_PARTIAL = 1 << 1,    /* something could not be read: its field has no value */
	REQUEST_SLOW = 1 << 2,
	REQUEST_BY_KTIME = 1 << 3,   /* ext is the start in ns of the kernel's monotonic clock, and wall is 0 */
	REQUEST_TEXT_ADDR = 1 << 4,  /* client is text "ip:port", not bytes */
	INNER_ELSE = 1 << 5,	     /* of the failure branch */
	REQUEST_SAMPLED = 1 << 6,    /* one of many */
};

#define UNKNOWN (-1LL) /* a number that the request does not have */

struct header {
	__u8 kind;
	__u8 operation; /* struct operation.code; 0 where the type of the request is not known */
	__u16 flags;
	__u32 tgid;
	__u32 tid;
	__u32 reserved;
	__u64 goroutine; /* address of its g; 0 where it is not known */
	__u64 ktime;	 /* ns, CLOCK_MONOTONIC */
};

#define CLIENT_MAX 64
#define NAME_MAX 64
#define DATA_SMALL 64
#define DATA_LARGE 512

/* Most keys are short, and ring space is time: a record comes in two sizes. */
struct request {
	struct header h;
	__u64 wall, ext; /* Go's time.Time of the start: time/time.go */
	__u64 cluster, member, revision; /* of the response's header */
	__s64 number;	 /* of the request: struct operation.number */
	__s64 count;	 /* of the response: struct operation.count */
	__s64 answer;	 /* of the response: struct operation.answer */
	__s64 value_len;
	__s32 key_len, end_len; /* -1: none */
	__u16 key_kept, end_kept; /* data: key, then end of the range, or the name of the method if operation is 0 */
	__u16 client_port;
	__u8 client_len, user_len, subject_len;
	__u8 reserved[7];
	__u8 client[CLIENT_MAX];
	__u8 user[NAME_MAX];
	__u8 subject[NAME_MAX]; /* common name of the client's certificate */
	__u8 data[DATA_SMALL];
};

struct large_request {
	struct request r; /* its data continues in more */
	__u8 more[DATA_LARGE - DATA_SMALL];
};

#define INNER_MAX 128 /* operations that are told of a transaction: etcd's default allows no more */

struct inner {
	struct header h;
	__u32 index; /* in its branch */
	__s32 key_len, end_len;
	__u16 key_kept, end_kept;
	__s64 value_len;
	__s64 number; /* the lease of a put; how many keys a delete has deleted */
	__u8 data[DATA_LARGE];
};

#define MESSAGE_MAX 128 /* the longest of etcd has 75 */

struct failure {
	struct header h;
	__u32 code; /* gRPC's */
	__u32 message_len;
	__u8 message[MESSAGE_MAX];
};

enum applied_operation { APPLIED_OTHER, APPLIED_PUT, APPLIED_DELETE, APPLIED_TXN, APPLIED_REVOKE, APPLIED_GRANT, APPLIED_REVOKING };

struct applied {
	struct header h; /* operation is enum applied_operation */
	__u64 revision; /* 0: a lease was granted, or a client has asked to revoke it */
	__u64 id;	/* of the entry of the raft log; 0: it is only asked for */
	__s64 lease;
	__u32 user_len;
	__u32 reserved;
	__u8 user[NAME_MAX];
};

#define FILE_MAX 48

enum file_kind { FILE_OTHER, FILE_WAL, FILE_BACKEND, FILE_KINDS };

struct sync {
	struct header h; /* ktime is the end; operation is enum file_kind */
	__u64 duration;	 /* ns */
	__u64 inode;
	__u64 written; /* bytes since the last sync of this file; 0: not known */
	__u32 device;  /* of the file system, as the kernel numbers it */
	__u32 disk;    /* below it, likewise; 0: none */
	__u32 name_len;
	__u32 reserved;
	__u8 name[FILE_MAX];
};

enum connection_event {
	CONNECTION_OPENED = 1,
	CONNECTION_CLOSED, /* the last that is told of it; also if it was never established */
	CONNECTION_STALLED, /* what was sent is not answered, not even when it is sent again */
	CONNECTION_FOUND,   /* it is open: told on request only, not by the ring */
	CONNECTION_HALF_OPEN, /* who began it does not answer; what is counted of others is 0, and there is no socket yet */
};

enum connection_role {
	ROLE_ACCEPTED = 1, /* by etcd */
	ROLE_DIALED,	   /* by etcd */
	ROLE_CALLER,	   /* by another program of this host, to a port at which etcd listens */
};

struct connection {
	struct header h; /* operation is enum connection_event; tgid is whose socket it is */
	__u64 socket;	 /* its address in the kernel: unique while it is open */
	__u64 received, sent; /* bytes of data, without what was sent again */
	__u32 rtt_us;	 /* smoothed; 0: not known */
	__u32 retransmitted; /* segments */
	__u32 error;	 /* errno that ended it, 0: none */
	__u32 unanswered; /* times in a row that the last was sent again */
	__u32 network;	  /* name space of the socket */
	__u16 local_port, remote_port; /* the local one is 0 at the end of a dialled connection: the kernel has given it back */
	__u8 role, established, address_len, reserved;
	__u32 reserved2;
	__u8 local[16], remote[16];
	__u8 name[16]; /* of the process, of ROLE_CALLER and ROLE_DIALED */
};

/* Which error ended a handshake: its type in Go. */
enum handshake_error {
	HANDSHAKE_OTHER = 1,
	HANDSHAKE_TEXT,	       /* *errors.errorString; text is its text */
	HANDSHAKE_NETWORK,     /* *net.OpError; text is its operation */
	HANDSHAKE_RECORD,      /* tls.RecordHeaderError */
	HANDSHAKE_CERTIFICATE, /* *tls.CertificateVerificationError, since Go 1.20; x509.HostnameError, of etcd's own check */
};

struct handshake {
	struct header h; /* operation is enum handshake_error */
	__u16 local_port, remote_port;
	__u8 remote_len, text_len;
	__u8 reserved[2];
	__u8 remote[16];
	__u8 text[NAME_MAX];
};
