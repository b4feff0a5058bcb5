#!/usr/bin/env bash
# Copyright The etcdreceiver Authors
# SPDX-License-Identifier: Apache-2.0
#
# fetch-3.4-guest.sh FOLDER ARCH...: puts Debian's etcd 3.4 and the C library that it needs into FOLDER/etcd-3.4-ARCH, at the
# paths of a machine that has nothing else. What cannot be had is one line, and left out.
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
shift
. "$(dirname "$0")/../debian.sh"

fetch() { # arch
  local to=$folder/etcd-3.4-$1
  apt_for "$1"
  tree=$(mktemp -d -p "$folder")
  trap 'rm -rf "$tree"' EXIT
  for package in etcd-server libc6; do unpack "$package/bookworm" "$tree"; done
  mkdir -p "$tree/new/etcd/3.4" "$tree/new/lib" "$tree/new/lib64"
  mv "$tree/usr/bin/etcd" "$tree/new/etcd/3.4/"
  cp "$tree"/lib/*-linux-gnu/libc.so.6 "$tree/new/lib/"
  case $1 in
  amd64) cp "$tree/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" "$tree/new/lib64/" ;;
  arm64) cp "$tree/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1" "$tree/new/lib/" ;;
  esac
  rm -rf "$to"
  mv "$tree/new" "$to"
}

for arch; do
  [ -e "$folder/etcd-3.4-$arch" ] && continue
  # In a condition bash would go on after a command that fails.
  set +e
  (set -e; fetch "$arch")
  failed=$?
  set -e
  [ $failed = 0 ] || echo "!!    etcd 3.4 for $arch cannot be had, and is left out"
done
