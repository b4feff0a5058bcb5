// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"crypto/sha1" //nolint:gosec // etcd's choice, an identity and no protection
	"encoding/binary"
	"slices"
)

// memberID is the id that etcd gives to a member of the first hour with this peer URL.
//
// Source: etcd server/etcdserver/api/membership/member.go, computeMemberID; the same from 3.4 to 3.7.
func memberID(peerURL, token string) uint64 {
	sum := sha1.Sum([]byte(peerURL + token)) //nolint:gosec // see above
	return binary.BigEndian.Uint64(sum[:8])
}

// clusterID is the id of the cluster that these members found. Later members do not change it.
//
// Source: etcd server/etcdserver/api/membership/cluster.go, genID; the same from 3.4 to 3.7.
func clusterID(members []*Member) uint64 {
	var ids []uint64
	for _, m := range members {
		ids = append(ids, m.ID)
	}
	slices.Sort(ids)
	var b []byte
	for _, id := range ids {
		b = binary.BigEndian.AppendUint64(b, id)
	}
	sum := sha1.Sum(b) //nolint:gosec // see above
	return binary.BigEndian.Uint64(sum[:8])
}
