#!/usr/bin/env bash
# Copyright The etcdreceiver Authors
# SPDX-License-Identifier: Apache-2.0
#
# fetch-3.4.sh FOLDER: puts etcd 3.4 into FOLDER/etcd, from Debian's package, without installing it.
#
# The Go module proxy cannot build etcd 3.4: its module path predates semantic import versions. Where Debian's package
# cannot be had, one line says so and the exit code is 0: the tests then skip 3.4, and say so too.
set -euo pipefail
folder=$1

skip() { echo "!! etcd 3.4 IS SKIPPED: $1" >&2; exit 0; }

[ -x "$folder/etcd" ] && exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || skip "no apt on this system; only Debian 12 packages it"
mkdir -p "$folder"
cd "$folder"

fetch() { apt-get download -qq etcd-server; }
if ! fetch 2>/dev/null; then
  [ "$(id -u)" = 0 ] || skip "apt-get download etcd-server does not work, and apt-get update needs root"
  echo "      apt-get update, for the package etcd-server" >&2
  apt-get update -qq || skip "apt-get update does not work"
  fetch || skip "apt has no package etcd-server"
fi
dpkg-deb -x etcd-server_*.deb package
rm etcd-server_*.deb
version=$(package/usr/bin/etcd --version | sed -n 's/^etcd Version: //p')
case $version in
3.4.*) ln -sf package/usr/bin/etcd etcd ;;
*) skip "this system's package is etcd $version" ;;
esac
