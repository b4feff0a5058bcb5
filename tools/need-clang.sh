#!/usr/bin/env bash
# Copyright The etcdreceiver Authors
# SPDX-License-Identifier: Apache-2.0
#
# Installs what compiles the BPF programs: as root on Debian. The objects are committed, so only who changes them, and
# the test that they are up to date, needs it.
set -euo pipefail
if command -v clang-19 >/dev/null && command -v llvm-strip-19 >/dev/null && [ -e /usr/include/bpf/bpf_helpers.h ]; then
  exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "!! clang-19, llvm-19 or libbpf-dev is missing: install them, they compile the BPF programs" >&2
  exit 1
fi
echo "   installing clang-19"
install="apt-get install -qq -y --no-install-recommends clang-19 llvm-19 libbpf-dev libc6-dev linux-libc-dev"
$install >/dev/null 2>&1 || { apt-get update -qq && $install >/dev/null; }
