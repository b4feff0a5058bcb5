#!/usr/bin/env bash
# Copyright The etcdreceiver Authors
# SPDX-License-Identifier: Apache-2.0
#
# Installs what boots other kernels: as root on Debian.
set -euo pipefail
if command -v qemu-system-x86_64 >/dev/null && command -v qemu-system-aarch64 >/dev/null; then
  exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "!! qemu-system-x86_64 or qemu-system-aarch64 is missing: install them, they boot the kernels" >&2
  exit 1
fi
echo "   installing qemu"
install="apt-get install -qq -y --no-install-recommends qemu-system-x86 qemu-system-arm"
$install >/dev/null 2>&1 || { apt-get update -qq && $install >/dev/null; }
