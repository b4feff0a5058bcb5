// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
	"github.com/etcdreceiver/etcdreceiver/internal/resource"
)

// Families of /metrics that more than one place reads. Names are those of etcd
// 3.4 to 3.7.
const (
	familyID            = "etcd_server_id"
	familyVersion       = "etcd_server_version"
	familyHasLeader     = "etcd_server_has_leader"
	familyIsLeader      = "etcd_server_is_leader"
	familyIsLearner     = "etcd_server_is_learner"
	familyCommitted     = "etcd_server_proposals_committed_total"
	familyApplied       = "etcd_server_proposals_applied_total"
	familyDBSize        = "etcd_mvcc_db_total_size_in_bytes"
	familyDBUsage       = "etcd_mvcc_db_total_size_in_use_in_bytes"
	familyDBLimit       = "etcd_server_quota_backend_bytes"
	familyRevision      = "etcd_debugging_mvcc_current_revision"
	familyStartTime     = "process_start_time_seconds"
	familyReceivedBytes = "etcd_network_client_grpc_received_bytes_total"
)

// recordSeries records one series of a family.
type recordSeries func(mb *metadata.MetricsBuilder, ts pcommon.Timestamp, m *dto.Metric, v float64)

// recorded says which metric each family becomes. etcd's own text about a family
// stands in metadata.yaml.
var recorded = map[string]recordSeries{
	"etcd_debugging_mvcc_compact_revision":      integers((*metadata.MetricsBuilder).RecordEtcdRevisionCompactedDataPoint),
	"etcd_debugging_mvcc_keys_total":            integers((*metadata.MetricsBuilder).RecordEtcdKeyspaceCountDataPoint),
	"etcd_debugging_mvcc_pending_events_total":  integers((*metadata.MetricsBuilder).RecordEtcdWatchEventPendingDataPoint),
	"etcd_debugging_mvcc_slow_watcher_total":    integers((*metadata.MetricsBuilder).RecordEtcdWatchWatcherSlowDataPoint),
	"etcd_debugging_mvcc_watch_stream_total":    integers((*metadata.MetricsBuilder).RecordEtcdWatchStreamCountDataPoint),
	"etcd_debugging_mvcc_watcher_total":         integers((*metadata.MetricsBuilder).RecordEtcdWatchWatcherCountDataPoint),
	"etcd_mvcc_delete_total":                    operations("delete"),
	"etcd_mvcc_put_total":                       operations("put"),
	"etcd_mvcc_range_total":                     operations("range"),
	"etcd_mvcc_txn_total":                       operations("txn"),
	"etcd_network_client_grpc_sent_bytes_total": bytesWith(metadata.AttributeEtcdNetworkPeerTypeClient, metadata.AttributeNetworkIoDirectionTransmit),
	familyReceivedBytes:                         bytesWith(metadata.AttributeEtcdNetworkPeerTypeClient, metadata.AttributeNetworkIoDirectionReceive),
	"etcd_network_peer_received_bytes_total":    bytesWith(metadata.AttributeEtcdNetworkPeerTypeMember, metadata.AttributeNetworkIoDirectionReceive),
	"etcd_network_peer_sent_bytes_total":        bytesWith(metadata.AttributeEtcdNetworkPeerTypeMember, metadata.AttributeNetworkIoDirectionTransmit),
	"etcd_network_peer_sent_failures_total":     peerFailures,
	"etcd_server_leader_changes_seen_total":     integers((*metadata.MetricsBuilder).RecordEtcdRaftLeaderChangesDataPoint),
	familyApplied:                               integers((*metadata.MetricsBuilder).RecordEtcdRaftProposalsAppliedDataPoint),
	familyCommitted:                             integers((*metadata.MetricsBuilder).RecordEtcdRaftProposalsCommittedDataPoint),
	"etcd_server_proposals_failed_total":        integers((*metadata.MetricsBuilder).RecordEtcdRaftProposalsFailedDataPoint),
	"etcd_server_proposals_pending":             integers((*metadata.MetricsBuilder).RecordEtcdRaftProposalsPendingDataPoint),
	"etcd_server_slow_apply_total":              integers((*metadata.MetricsBuilder).RecordEtcdRaftApplySlowDataPoint),
	"etcd_server_slow_read_indexes_total":       integers((*metadata.MetricsBuilder).RecordEtcdRaftReadIndexSlowDataPoint),
	"grpc_server_handled_total":                 requestsHandled,
	"grpc_server_started_total":                 requestsStarted,
	"process_cpu_seconds_total":                 cpuTime,
	"process_max_fds":                           integers((*metadata.MetricsBuilder).RecordEtcdProcessOpenFileDescriptorLimitDataPoint),
	"process_open_fds":                          integers((*metadata.MetricsBuilder).RecordEtcdProcessOpenFileDescriptorCountDataPoint),
	"process_resident_memory_bytes":             integers((*metadata.MetricsBuilder).RecordEtcdProcessMemoryUsageDataPoint),
}

// families are all that are kept of a /metrics; histogramFamilies those with
// buckets.
var families, histogramFamilies = usedFamilies()

func usedFamilies() (all, buckets map[string]bool) {
	all, buckets = map[string]bool{}, map[string]bool{}
	for name := range recorded {
		all[name] = true
	}
	for name := range histograms {
		all[name], buckets[name] = true, true
	}
	for _, name := range []string{familyID, familyVersion, familyHasLeader, familyIsLeader, familyIsLearner, familyDBSize, familyDBUsage, familyDBLimit, familyRevision, familyStartTime} {
		all[name] = true
	}
	return all, buckets
}

func integers(record func(*metadata.MetricsBuilder, pcommon.Timestamp, int64)) recordSeries {
	return func(mb *metadata.MetricsBuilder, ts pcommon.Timestamp, _ *dto.Metric, v float64) {
		record(mb, ts, int64(v))
	}
}

func operations(name string) recordSeries {
	return func(mb *metadata.MetricsBuilder, ts pcommon.Timestamp, _ *dto.Metric, v float64) {
		mb.RecordEtcdMvccOperationsDataPoint(ts, int64(v), name)
	}
}

// bytesWith sums over the peers: the builder adds points of equal attributes.
func bytesWith(who metadata.AttributeEtcdNetworkPeerType, direction metadata.AttributeNetworkIoDirection) recordSeries {
	return func(mb *metadata.MetricsBuilder, ts pcommon.Timestamp, _ *dto.Metric, v float64) {
		mb.RecordEtcdNetworkIoDataPoint(ts, int64(v), who, direction)
	}
}

func peerFailures(mb *metadata.MetricsBuilder, ts pcommon.Timestamp, m *dto.Metric, v float64) {
	mb.RecordEtcdNetworkPeerSendFailuresDataPoint(ts, int64(v), peerID(label(m, "To")))
}

func cpuTime(mb *metadata.MetricsBuilder, ts pcommon.Timestamp, _ *dto.Metric, v float64) {
	mb.RecordEtcdProcessCPUTimeDataPoint(ts, v)
}

func requestsStarted(mb *metadata.MetricsBuilder, ts pcommon.Timestamp, m *dto.Metric, v float64) {
	mb.RecordEtcdGrpcRequestStartedDataPoint(ts, int64(v), method(m))
}

func requestsHandled(mb *metadata.MetricsBuilder, ts pcommon.Timestamp, m *dto.Metric, v float64) {
	mb.RecordEtcdGrpcRequestHandledDataPoint(ts, int64(v), method(m), label(m, "grpc_code"))
}

func method(m *dto.Metric) string {
	return label(m, "grpc_service") + "/" + label(m, "grpc_method")
}

// peerID brings a member id, which etcd prints without leading zeros, to 16 hex
// digits.
func peerID(hex string) string {
	id, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
	if err != nil {
		return hex
	}
	return resource.ID(id)
}
