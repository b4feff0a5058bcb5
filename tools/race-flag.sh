#!/usr/bin/env bash
# Copyright The etcdreceiver Authors
# SPDX-License-Identifier: Apache-2.0
#
# race-flag.sh: prints -race if the race detector can be used. It needs a C compiler; where that is missing and apt is
# there, it is installed. Where it cannot be had, one loud line says so and nothing is printed.
set -euo pipefail

without() { echo "!! TESTS RUN WITHOUT THE RACE DETECTOR: $1" >&2; [ -z "${CI:-}" ]; exit; }

compiler=$(go env CC)
if ! command -v "${compiler%% *}" >/dev/null; then
  command -v apt-get >/dev/null || without "no C compiler ($compiler) and no apt-get to install one"
  [ "$(id -u)" = 0 ] || without "no C compiler ($compiler), and installing one needs root: apt-get install gcc libc6-dev"
  echo "      installing gcc for the race detector" >&2
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends gcc libc6-dev; } \
    >&2 || without "apt-get could not install gcc"
fi
# Go switches cgo off by itself where it finds no compiler, and this process has asked before there was one.
[ "$(go env CGO_ENABLED)" = 1 ] || without "cgo is switched off (CGO_ENABLED=0)"
echo -race
