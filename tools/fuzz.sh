#!/usr/bin/env bash
# Copyright The etcdreceiver Authors
# SPDX-License-Identifier: Apache-2.0
#
# fuzz.sh TIME: runs every fuzz target of the root module for TIME, one after the other.
set -euo pipefail
grep -rHo --include='*_test.go' --exclude-dir=_build --exclude-dir=test '^func Fuzz[A-Za-z0-9_]*' . |
  while IFS=: read -r file function; do
    target=${function#func }
    echo "[fuzz] $target in $(dirname "$file") for $1"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$1" "$(dirname "$file")" </dev/null
  done
