// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"regexp"
	"strconv"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

// Status repeats the alarms among its errors, as the text of the message. White
// space may be doubled: protobuf-go, which etcd 3.7 uses, does so at random.
//
// Source: maintenanceServer.Status in server/etcdserver/api/v3rpc/maintenance.go,
// the same from 3.4 to 3.7.
var alarmText = regexp.MustCompile(`^\s*memberID:\s*(\d+)\s+alarm:\s*(\w+)\s*$`)

func alarmsOf(errors []string) []*pb.AlarmMember {
	var out []*pb.AlarmMember
	for _, e := range errors {
		m := alarmText.FindStringSubmatch(e)
		if m == nil {
			continue // another error, such as "etcdserver: no leader"
		}
		id, err := strconv.ParseUint(m[1], 10, 64)
		kind, known := pb.AlarmType_value[m[2]]
		if err == nil && known {
			out = append(out, &pb.AlarmMember{MemberID: id, Alarm: pb.AlarmType(kind)})
		}
	}
	return out
}

// alarmTypes are the kinds of alarm that etcd has.
var alarmTypes = map[pb.AlarmType]metadata.AttributeEtcdAlarmType{
	pb.AlarmType_NOSPACE: metadata.AttributeEtcdAlarmTypeNospace,
	pb.AlarmType_CORRUPT: metadata.AttributeEtcdAlarmTypeCorrupt,
}
