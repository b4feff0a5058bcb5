// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package resource builds the OTLP resource of everything the receiver emits:
// who the telemetry is about. Metrics and log records of one member, or of the
// cluster, carry the same resource.
package resource

import (
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/etcdreceiver/etcdreceiver/internal/etcdclient"
	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

// instanceNamespace is the namespace that the semantic conventions give for a
// service.instance.id made from an id of the service's own.
// https://opentelemetry.io/docs/specs/semconv/registry/attributes/service/
var instanceNamespace = uuid.MustParse("4d63009a-8d0f-11ee-aad7-4c796ed8e320")

// Builder knows what the user configured about resources.
type Builder struct {
	Attributes  metadata.ResourceAttributesConfig
	ClusterName string
	// Labels are put on every resource as they are.
	Labels map[string]string
}

// Member is what a member's resource says of it.
type Member struct {
	ID       uint64
	Name     string
	Version  string // of etcd; "" if not known
	Endpoint etcdclient.Endpoint
}

// ID is a member or cluster id as etcdctl prints it.
func ID(id uint64) string { return fmt.Sprintf("%016x", id) }

// Cluster is the resource of what belongs to no single member: a fail-over must
// not start a new stream.
func (b *Builder) Cluster(clusterID uint64) pcommon.Resource {
	return b.emit(b.cluster(clusterID))
}

// Member is the resource of one member.
func (b *Builder) Member(clusterID uint64, m Member) pcommon.Resource {
	rb := b.cluster(clusterID)
	rb.SetEtcdMemberID(ID(m.ID))
	rb.SetEtcdMemberName(m.Name)
	rb.SetServiceInstanceID(uuid.NewSHA1(instanceNamespace, []byte(ID(clusterID)+"/"+ID(m.ID))).String())
	if m.Version != "" {
		rb.SetServiceVersion(m.Version)
	}
	address, port := m.Endpoint.Server()
	if address != "" {
		rb.SetServerAddress(address)
	}
	if port != 0 {
		rb.SetServerPort(int64(port))
	}
	return b.emit(rb)
}

func (b *Builder) cluster(clusterID uint64) *metadata.ResourceBuilder {
	rb := metadata.NewResourceBuilder(b.Attributes)
	rb.SetServiceName("etcd")
	rb.SetEtcdClusterID(ID(clusterID))
	if b.ClusterName != "" {
		rb.SetEtcdClusterName(b.ClusterName)
	}
	return rb
}

func (b *Builder) emit(rb *metadata.ResourceBuilder) pcommon.Resource {
	res := rb.Emit()
	for _, k := range slices.Sorted(maps.Keys(b.Labels)) {
		res.Attributes().PutStr(k, b.Labels[k])
	}
	return res
}
