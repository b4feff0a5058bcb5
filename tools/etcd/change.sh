#!/usr/bin/env bash
# Copyright The etcdreceiver Authors
# SPDX-License-Identifier: Apache-2.0
#
# change.sh CHANGE: makes an etcd 3.7 that nobody has released, in the folder vendor/ of the working directory: what a
# later one might do.
set -euo pipefail
rpc=vendor/go.etcd.io/etcd/api/v3/etcdserverpb/rpc.pb.go
interceptor=vendor/go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc/interceptor.go

# edit FILE SED...: fails where a command changes nothing, as etcd is another one then.
edit() {
  local file=$1
  for command in "${@:2}"; do
    sed -i.before "$command" "$file"
    ! cmp -s "$file" "$file.before" || { echo "!! this changes nothing of $file: $command" >&2; exit 1; }
    rm "$file.before"
  done
}

case $1 in
moved) # other fields first
  edit $rpc '/^type PutRequest struct/,/^}/{/^\tLease  *int64/d;s/^\tstate .*/&\n\tLease int64 `protobuf:"varint,3,opt,name=lease,proto3" json:"lease,omitempty"`/}' \
    '/^type ResponseHeader struct/,/^}/{/^\tRaftTerm  *uint64/d;s/^\tstate .*/&\n\tRaftTerm uint64 `protobuf:"varint,4,opt,name=raft_term,json=raftTerm,proto3" json:"raft_term,omitempty"`/}'
  ;;
arguments) # the response before the request: as many bytes as before
  edit $interceptor 's/\(logUnaryRequestStats(.*startTime\), req, resp)/\1, resp, req)/' \
    's/^\(func logUnaryRequestStats(.*\), req any, resp any)/\1, resp any, req any)/'
  ;;
clock) # the time without its monotonic reading
  edit $interceptor '/^func newLogUnaryInterceptor/,/^}/s/time.Now()/time.Now().Round(0)/' ;;
header) # a copy of the response, whose revision is not meant to be logged
  edit $interceptor 's/\(logUnaryRequestStats(.*startTime, req\), resp)/\1, abridged(resp))/'
  cat >>$interceptor <<'GO'

func abridged(resp any) any {
	r, ok := resp.(*pb.RangeResponse)
	if !ok || r == nil {
		return resp
	}
	r = proto.Clone(r).(*pb.RangeResponse)
	r.Header.Revision = 0
	return r
}
GO
  ;;
signature) # one more argument
  edit $interceptor 's/\(logUnaryRequestStats(.*startTime, req, resp\))/\1, err)/' \
    's/^\(func logUnaryRequestStats(.*, resp any\))/\1, err error)/'
  ;;
names) # other names for two functions and a type
  grep -rlE 'AuthInfoFromCtx|isWatchPermitted' vendor/go.etcd.io | xargs sed -i 's/AuthInfoFromCtx/AuthInfoFromContext/g; s/isWatchPermitted/watchPermitted/g'
  edit vendor/google.golang.org/grpc/peer/peer.go 's/peerKey/contextKey/g'
  ;;
*)
  echo "!! there is no change $1" >&2
  exit 1
  ;;
esac
