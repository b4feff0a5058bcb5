#!/usr/bin/env bash
# Copyright The etcdreceiver Authors
# SPDX-License-Identifier: Apache-2.0
#
# patiently.sh TEXT COMMAND...: says TEXT, runs the command, and says every 20 seconds that it still runs.
set -euo pipefail
text=$1
shift
echo "      $text" >&2
while sleep 20 </dev/null >/dev/null 2>&1; do echo "      ... still at it: $SECONDS s" >&2; done &
ticker=$!
trap 'kill $ticker 2>/dev/null || true' EXIT
"$@"
