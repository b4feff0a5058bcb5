// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

//go:build pins

// Package pins names every collector module the receiver is going to need, at
// the one release this repository is built with. `go mod tidy` counts these
// imports and keeps their require lines; the build never sees them. Without it
// tidy adds the latest release of a newly imported module and mixes releases.
package pins

import (
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/google/uuid"
	_ "github.com/prometheus/client_model/go"
	_ "github.com/prometheus/common/expfmt"
	_ "github.com/stretchr/testify/require"
	_ "go.etcd.io/etcd/api/v3/etcdserverpb"
	_ "go.etcd.io/etcd/client/v3"
	_ "go.opentelemetry.io/collector/client"
	_ "go.opentelemetry.io/collector/component"
	_ "go.opentelemetry.io/collector/component/componentstatus"
	_ "go.opentelemetry.io/collector/component/componenttest"
	_ "go.opentelemetry.io/collector/config/configopaque"
	_ "go.opentelemetry.io/collector/config/configoptional"
	_ "go.opentelemetry.io/collector/config/configretry"
	_ "go.opentelemetry.io/collector/config/configtls"
	_ "go.opentelemetry.io/collector/confmap"
	_ "go.opentelemetry.io/collector/consumer"
	_ "go.opentelemetry.io/collector/consumer/consumererror"
	_ "go.opentelemetry.io/collector/consumer/consumertest"
	_ "go.opentelemetry.io/collector/extension/xextension/storage"
	_ "go.opentelemetry.io/collector/featuregate"
	_ "go.opentelemetry.io/collector/filter"
	_ "go.opentelemetry.io/collector/pdata/pmetric"
	_ "go.opentelemetry.io/collector/pipeline"
	_ "go.opentelemetry.io/collector/receiver"
	_ "go.opentelemetry.io/collector/receiver/receiverhelper"
	_ "go.opentelemetry.io/collector/receiver/receivertest"
	_ "go.opentelemetry.io/otel/metric"
	_ "go.opentelemetry.io/otel/sdk/metric"
	_ "go.opentelemetry.io/otel/trace"
	_ "go.uber.org/goleak"
	_ "go.uber.org/multierr"
	_ "go.uber.org/zap"
	_ "go.yaml.in/yaml/v3"
	_ "google.golang.org/grpc"
)
