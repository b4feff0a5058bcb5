#!/usr/bin/env bash
# Copyright The etcdreceiver Authors
# SPDX-License-Identifier: Apache-2.0
#
# Installs the programs ip and ss, for the tests that make networks and cut them: as root on Debian. Elsewhere these tests
# say that they are skipped, and why; in CI they fail.
set -euo pipefail
if command -v ip >/dev/null || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  exit 0
fi
echo "   installing iproute2"
apt-get install -qq -y --no-install-recommends iproute2 >/dev/null 2>&1 ||
  { apt-get update -qq && apt-get install -qq -y --no-install-recommends iproute2 >/dev/null; }
