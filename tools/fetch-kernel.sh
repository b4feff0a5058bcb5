#!/usr/bin/env bash
# Copyright The etcdreceiver Authors
# SPDX-License-Identifier: Apache-2.0
#
# fetch-kernel.sh FOLDER KERNEL...: puts Debian's cloud kernels of series and architectures such as 5.10-amd64 or
# newest-arm64 into FOLDER/KERNEL, as vmlinuz, modules and version. What the archive has no more is one line, and left out; a
# kernel that is there stays until a newer one is complete.
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
shift

. "$(dirname "$0")/debian.sh"

# The name of the newest package of a series: what Debian's package of the cloud kernel depends on.
package_of() { # series arch
  local wanted=${1/newest/[0-9.]*}
  apt-cache "${options[@]}" show "linux-image-cloud-$2" |
    sed -n "s/^Depends: \(.*, \)\?\(linux-image-${wanted//./\\.}[.+-][^ ,]*\).*/\2/p" | sort -V | tail -1
}

fetch() { # kernel
  local series=${1%-*} arch=${1##*-} package image
  apt_for "$arch"
  package=$(package_of "$series" "$arch")
  tree=$(mktemp -d -p "$folder")
  trap 'rm -rf "$tree"' EXIT
  unpack "$package" "$tree"
  # Newer packages of the image are empty, and depend on what has it.
  for other in $(apt-cache "${options[@]}" depends "$package" | sed -n 's/^ *Depends: \(linux-\(binary\|modules\)-.*\)/\1/p'); do
    unpack "$other" "$tree"
  done
  image=$(find "$tree" -type f -name 'vmlinuz*' | head -1)
  # What the machine needs for a disk with an ext4.
  mkdir -p "$tree/new/modules"
  find "$tree" -type f -regextype posix-extended -regex '.*/(ext4|jbd2|mbcache|crc16|crc32(c[a-z_-]*|_generic)?|libcrc32c|virtio(_(ring|pci[a-z_]*|mmio|blk))?)\.ko(\.xz)?' \
    -exec mv -t "$tree/new/modules" {} +
  find "$tree/new/modules" -name '*.xz' -exec xz -d {} +
  mv "$image" "$tree/new/vmlinuz"
  echo "${package#linux-image-}" >"$tree/new/version"
  rm -rf "${folder:?}/$1"
  mv "$tree/new" "$folder/$1"
}

for kernel; do
  if fresh "$folder/$kernel/version"; then continue; fi
  # In a condition bash would go on after a command that fails.
  set +e
  (set -e; fetch "$kernel")
  failed=$?
  set -e
  if [ $failed != 0 ] && [ -e "$folder/$kernel/version" ]; then
    echo "!!    kernel $kernel cannot be looked for, the one of before stays: $(cat "$folder/$kernel/version")"
  elif [ $failed = 0 ]; then
    echo "      kernel $(cat "$folder/$kernel/version")"
  else
    echo "!!    kernel $kernel cannot be had, and is left out"
  fi
done
