#!/usr/bin/env bash
# Copyright The etcdreceiver Authors
# SPDX-License-Identifier: Apache-2.0
#
# generate.sh: runs bin/mdatagen on metadata.yaml.
set -euo pipefail
cd "$(dirname "$0")/.."

# References into modules of the collector are looked up here before the network.
for module in filter config/configretry config/configtls; do
  go mod download "go.opentelemetry.io/collector/$module"
  read -r version folder < <(go list -m -f '{{.Version}} {{.Dir}}' "go.opentelemetry.io/collector/$module")
  install -D -m 644 "$folder/metadata.yaml" ".schemas/$version/$module/metadata.yaml"
done

# mdatagen names the Go package after the folder of metadata.yaml, and a checkout may have any name.
link=$(mktemp -d)
trap 'rm -r "$link"' EXIT
ln -s "$PWD" "$link/etcdreceiver"
# mdatagen asks git for the root of the work tree, and git refuses a checkout of another user (root in a container).
GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=$PWD \
  bin/mdatagen "$link/etcdreceiver/metadata.yaml"

# mdatagen writes files that only their owner may read.
chmod 644 generated_*.go config.schema.json documentation.md README.md
find internal/metadata internal/metadatatest -type d -exec chmod 755 {} + -o -type f -exec chmod 644 {} +
