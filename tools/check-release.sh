#!/usr/bin/env bash
# Copyright The etcdreceiver Authors
# SPDX-License-Identifier: Apache-2.0
#
# check-release.sh FOLDER...: fails if a Go module in one of the folders uses collector modules of another release than
# the one this repository is built with. Releases must not be mixed: `go get` without a version does it easily.
set -euo pipefail
wanted='^v0\.159\.0$|^v1\.65\.0$'
for folder; do
  # All modules of the graph, as `module version`.
  list=$(cd "$folder" && go list -m all)
  # Nothing found is fine; our own module is in the list without a version.
  strays=$(awk -v wanted="$wanted" \
    '/opentelemetry\.io\/collector|opentelemetry-collector-contrib/ && NF > 1 && $2 !~ wanted' <<<"$list")
  if [ -n "$strays" ]; then
    echo "!! $folder uses collector modules of another release than v0.159.0 / v1.65.0:" >&2
    echo "$strays" >&2
    exit 1
  fi
done
