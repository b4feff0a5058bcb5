#!/usr/bin/env bash
# Copyright The etcdreceiver Authors
# SPDX-License-Identifier: Apache-2.0
#
# build.sh NAME FILE: builds the etcd that the table tools/etcd/matrix calls NAME.
#
# What each build needs follows from its version of etcd alone: Go takes the versions that etcd's go.mod asks for. So
# only hashes must be pinned, and one for all of them is enough: that of the go.sum that comes out.
set -euo pipefail
name=$1 file=$(realpath -m "$2") tools=$(realpath "$(dirname "$0")")
line=$(grep "^$name " "$tools/matrix") || { echo "!! tools/etcd/matrix has no build $name" >&2; exit 1; }
read -r _ etcd go how sums <<<"$line"
package=go.etcd.io/etcd/server/v3

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export GOTOOLCHAIN=go$go CGO_ENABLED=0 GOFLAGS=-mod=mod GOWORK=off
go mod init etcd >log 2>&1 && go get -d "$package@v$etcd" >log 2>&1 || { cat log >&2; exit 1; }
go list -deps "$package" >/dev/null
got=$(sha256sum go.sum | cut -d' ' -f1)
if [ "$got" != "$sums" ]; then
  echo "!! etcd $name: the modules are others than those of tools/etcd/matrix: its go.sum is $got" >&2
  exit 1
fi

GOFLAGS=-mod=readonly
flags="-s -w" mode=()
case $how in
official) ;;
pie) mode=(-buildmode=pie) ;;
cgo) export CGO_ENABLED=1 flags="-linkmode=external" ;;
unstripped) flags="" ;;
v3) export GOAMD64=v3 ;;
arm64) export GOARCH=arm64 ;;
changed-*)
  printf '//go:build tools\n\npackage tools\n\nimport _ "%s"\n' $package >tools.go # what is to be copied
  go mod vendor
  "$tools/change.sh" "${how#changed-}"
  GOFLAGS=-mod=vendor
  ;;
*) echo "!! tools/etcd/matrix: $name is built $how, which is unknown" >&2; exit 1 ;;
esac
mkdir -p "$(dirname "$file")"
go build "${mode[@]}" -trimpath -ldflags "$flags" -o "$file" "$package"
[ "$how" != cgo ] || strip -s "$file"
