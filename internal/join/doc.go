// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package join ties what was traced of a write to the changes that it made. They
// have the revision in common.
//
//	trace:  a request was answered      Served  --.
//	        a member applied a write    Applied --+--> Window: the latest revisions
//	        a lease was granted         Granted --'         |
//	watch:  a change of that revision   Author <------------'
//
// A join may be missing, and is counted then; it must never be wrong. So the key of
// the change must be one that the request names, and what etcd's raft log says of
// the revision must agree.
package join
