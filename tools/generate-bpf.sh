#!/usr/bin/env bash
# Copyright The etcdreceiver Authors
# SPDX-License-Identifier: Apache-2.0
#
# generate-bpf.sh: compiles bpf/*.bpf.c for amd64 and arm64, and writes their Go bindings. The same clang gives the same
# bytes: debug information, which has paths, is stripped.
set -euo pipefail
cd "$(dirname "$0")/../bpf"

compile() { # name, then types that Go needs
  local name=$1 types=()
  shift
  for type in "$@"; do types+=(-type "$type"); done
  # The kernel's headers of any architecture will do: only linux/bpf.h and linux/types.h are read.
  GOPACKAGE=bpf ../bin/bpf2go -go-package bpf -output-stem "generated_$name" -cc clang-19 -strip llvm-strip-19 \
    -target amd64,arm64 "${types[@]}" "$name" "$name.bpf.c" -- \
    -O2 -mcpu=v3 -Wall -Werror -I"/usr/include/$(uname -m)-linux-gnu" >/dev/null
}
compile etcd binary operation operation_key process header request inner failure applied distribution distribution_key \
  handshake handshake_error record_kind applied_operation record_flags counter layout stream
compile perf
compile disk sync file_kind writer writer_key
compile lifecycle pid_here
compile network endpoint connection connection_event connection_role
compile named
compile namedperf
