#!/usr/bin/env bash
# Copyright The etcdreceiver Authors
# SPDX-License-Identifier: Apache-2.0
#
# race-flag.sh: prints -race if the race detector can be used. It needs a C compiler. Where that cannot be had, one loud
# line says so and nothing is printed.
set -euo pipefail

without() { echo "!! TESTS RUN WITHOUT THE RACE DETECTOR: $1" >&2; [ -z "${CI:-}" ]; exit; }

"$(dirname "$0")/need-cc.sh" >&2 || without "there is no C compiler"
# Go switches cgo off by itself where it finds no compiler: it is asked now that there is one.
[ "$(go env CGO_ENABLED)" = 1 ] || without "cgo is switched off (CGO_ENABLED=0)"
echo -race
