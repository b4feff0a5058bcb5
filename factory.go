// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package etcdreceiver

import (
	"context"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"

	"github.com/etcdreceiver/etcdreceiver/internal/metadata"
)

// NewFactory returns the factory of the receiver "etcd", for logs and metrics.
func NewFactory() receiver.Factory {
	shared := sharedReceivers{byConfig: map[*Config]*etcdReceiver{}}
	return receiver.NewFactory(
		metadata.Type,
		func() component.Config { return newDefaultConfig() },
		receiver.WithLogs(shared.createLogs, metadata.LogsStability),
		receiver.WithMetrics(shared.createMetrics, metadata.MetricsStability),
	)
}

// sharedReceivers gives the logs and the metrics pipeline of one configuration
// the same receiver, so that each member is asked once.
type sharedReceivers struct {
	mu       sync.Mutex
	byConfig map[*Config]*etcdReceiver
}

func (s *sharedReceivers) createLogs(_ context.Context, settings receiver.Settings, cfg component.Config, next consumer.Logs) (receiver.Logs, error) {
	r, err := s.receiver(settings, cfg.(*Config))
	if err != nil {
		return nil, err
	}
	r.logs = next
	return r, nil
}

func (s *sharedReceivers) createMetrics(_ context.Context, settings receiver.Settings, cfg component.Config, next consumer.Metrics) (receiver.Metrics, error) {
	r, err := s.receiver(settings, cfg.(*Config))
	if err != nil {
		return nil, err
	}
	r.metrics = next
	return r, nil
}

func (s *sharedReceivers) receiver(settings receiver.Settings, cfg *Config) (*etcdReceiver, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.byConfig[cfg]; r != nil {
		return r, nil
	}
	r, err := newReceiver(settings, cfg, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.byConfig, cfg)
	})
	if err != nil {
		return nil, err
	}
	s.byConfig[cfg] = r
	return r, nil
}
