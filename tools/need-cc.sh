#!/usr/bin/env bash
# Copyright The etcdreceiver Authors
# SPDX-License-Identifier: Apache-2.0
#
# Installs a C compiler, which the race detector and builds with cgo need: as root on Debian.
set -euo pipefail
compiler=$(go env CC)
if command -v "${compiler%% *}" >/dev/null; then
  exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "!! the C compiler $compiler is missing: install gcc and libc6-dev" >&2
  exit 1
fi
echo "      installing gcc"
install="apt-get install -qq -y --no-install-recommends gcc libc6-dev"
$install >/dev/null 2>&1 || { apt-get update -qq && $install >/dev/null; }
